"""From the chart's SVG to the PNG of a mail, at twice its size.

Reads the three elements that `templates/chart/bars.svg` draws with, rect, line and text, and puts
them on a clear ground in tones that hold 3:1 or more against white as well as black, for a mail
can't know on which it will be seen. It's no reader of SVG at large: those take two to six times
as long (docs/decisions/mail-chart.md). The picture is kept in a palette, which makes it small.
"""

import io
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_ZOOM = 2
_LEVELS = 15  # steps of a letter's edge
_GREY, _PALE, _QUIET = (0x87, 0x94, 0xA5), (0xA9, 0xB2, 0xBD), (0x76, 0x80, 0x8C)
_TEAL, _ORANGE = (0x17, 0x91, 0x7F), (0xD9, 0x58, 0x0D)
_CORNER = 2

Colour = tuple[int, int, int]


class Ink(NamedTuple):
    """A colour and how much it covers, of 255."""

    colour: Colour
    cover: int = 255


_SHAPES = {
    "gap": Ink(_GREY, 38),
    "tint": Ink(_TEAL, 52),
    "bar plain": Ink(_GREY),
    "bar earlier": Ink(_PALE),
    "bar now": Ink(_TEAL),
    "bar spike": Ink(_ORANGE),
    "bar ceiling": Ink(_TEAL, 42),
    "level": Ink(_TEAL),
    "floor": Ink(_GREY),
}
_OUTLINED = {"bar ceiling": "bar now"}
_LETTERS = {
    "quiet": _QUIET,
    "label plain": _QUIET,
    "label now": _TEAL,
    "label ceiling": _TEAL,
    "level": _TEAL,
    "label spike": _ORANGE,
}
_SIZE, _SPIKE_SIZE = 14.5, 19.0
_LETTER_COLOURS = tuple(dict.fromkeys(_LETTERS.values()))
_SHAPE_PLACE = {name: n for n, name in enumerate(_SHAPES, start=1)}
_LETTER_PLACE = {colour: 1 + len(_SHAPES) + n * _LEVELS for n, colour in enumerate(_LETTER_COLOURS)}


def png(svg: str, *, font: Path) -> bytes:
    """The picture of a chart's SVG."""
    from PIL import Image, ImageDraw

    root = ET.fromstring(svg)  # noqa: S314 - our own template's SVG; its words are escaped there
    size = (int(root.attrib["width"]) * _ZOOM, int(root.attrib["height"]) * _ZOOM)
    picture = Image.new("P", size, 0)
    draw = ImageDraw.Draw(picture)
    letters = {colour: Image.new("L", size, 0) for colour in _LETTER_COLOURS}
    for element in root:
        kind = element.tag.rpartition("}")[2]
        if kind == "rect":
            _rect(draw, element)
        elif kind == "line":
            _line(draw, element)
        elif kind == "text":
            sheet = letters[_LETTERS[element.attrib["class"]]]
            _text(ImageDraw.Draw(sheet), element, font)
        elif kind != "title":
            raise ValueError(f"the chart's template draws a <{kind}>, which raster.py can't")
    for colour, sheet in letters.items():
        _lay(picture, sheet, colour)
    return _packed(picture)


def _rect(draw: "ImageDraw.ImageDraw", element: ET.Element) -> None:
    x, y, width, height = _numbers(element, "x", "y", "width", "height")
    name = element.attrib["class"]
    left, top = round(x), round(y)
    box = (left, top, max(left, round(x + width) - 1), max(top, round(y + height) - 1))
    if name in _OUTLINED:
        draw.rectangle(box, fill=_SHAPE_PLACE[name])
        place = _SHAPE_PLACE[_OUTLINED[name]]
        _dashes(draw, (box[0], box[3]), (box[0], box[1]), place)
        _dashes(draw, (box[0], box[1]), (box[2], box[1]), place)
        _dashes(draw, (box[2], box[1]), (box[2], box[3]), place)
        return
    corner = min(_CORNER * _ZOOM, (box[2] - box[0]) // 2, (box[3] - box[1]) // 2)
    draw.rounded_rectangle(box, max(0, corner), fill=_SHAPE_PLACE[name])


def _line(draw: "ImageDraw.ImageDraw", element: ET.Element) -> None:
    x1, x2, y = (round(number) for number in _numbers(element, "x1", "x2", "y1"))
    place = _SHAPE_PLACE[element.attrib["class"]]
    if element.attrib["class"] == "level":
        _dashes(draw, (x1, y), (x2, y), place)
    else:
        draw.line((x1, y, x2, y), fill=place, width=_ZOOM)


def _dashes(
    draw: "ImageDraw.ImageDraw", begin: tuple[int, int], end: tuple[int, int], place: int
) -> None:
    """A dashed line along one axis."""
    dash, step, thick = 5 * _ZOOM, 9 * _ZOOM, 3
    if begin[1] == end[1]:
        for x in range(begin[0], end[0], step):
            draw.line((x, begin[1], min(x + dash, end[0]), begin[1]), fill=place, width=thick)
        return
    top, bottom = sorted((begin[1], end[1]))
    for y in range(top, bottom, step):
        draw.line((begin[0], y, begin[0], min(y + dash, bottom)), fill=place, width=thick)


def _text(sheet: "ImageDraw.ImageDraw", element: ET.Element, font: Path) -> None:
    x, y = _numbers(element, "x", "y")
    size = _SPIKE_SIZE if element.attrib["class"] == "label spike" else _SIZE
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[element.attrib["text-anchor"]]
    sheet.text((x, y), element.text or "", fill=255, font=_face(font, size), anchor=anchor)


@lru_cache(maxsize=4)
def _face(font: Path, size: float) -> "ImageFont.FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(font, size * _ZOOM, layout_engine=ImageFont.Layout.BASIC)


def _lay(picture: "Image.Image", sheet: "Image.Image", colour: Colour) -> None:
    """Lay the letters of one colour on the picture, each pixel as one of the colour's levels."""
    box = sheet.getbbox()
    if box is None:
        return
    part, first = sheet.crop(box), _LETTER_PLACE[colour]
    step = 256 / (_LEVELS + 1)
    levels = [max(0, int(value / step) - 1) + first for value in range(256)]
    seen = [255 if value >= step else 0 for value in range(256)]
    picture.paste(part.point(levels), box, part.point(seen))


def _packed(picture: "Image.Image") -> bytes:
    inks: list[Ink] = [Ink((0, 0, 0), 0), *_SHAPES.values()]
    for colour in _LETTER_COLOURS:
        inks += [Ink(colour, round(255 * (n + 1) / _LEVELS)) for n in range(_LEVELS)]
    picture.putpalette(_flat(ink.colour for ink in inks))
    packed = io.BytesIO()
    covers = bytes(ink.cover for ink in inks)
    picture.save(packed, "PNG", transparency=covers, compress_level=6)
    return packed.getvalue()


def _flat(colours: Iterable[Colour]) -> list[int]:
    return [part for colour in colours for part in colour]


def _numbers(element: ET.Element, *names: str) -> tuple[float, ...]:
    return tuple(float(element.attrib[name]) * _ZOOM for name in names)
