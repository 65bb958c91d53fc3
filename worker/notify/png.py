"""Converts a chart's SVG into the PNG of a mail.

It supports the three elements that the template uses: rect, line and text. The background is
transparent and the tones have a contrast of at least 3:1 against white and black, because mail
readers may show either behind it. It isn't a general SVG renderer; those take two to six times as
long (docs/decisions/mail-chart.md). A palette keeps the file small.

Words and dashes recur from mail to mail (dates, whole kilometres), so each is drawn once and
cached. Letters are always placed on whole pixels.
"""

import io
from functools import lru_cache
from itertools import chain
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

_ZOOM = 2
_LEVELS = 15  # levels of antialiasing of a letter
_GREY, _PALE, _QUIET = (0x87, 0x94, 0xA5), (0xA9, 0xB2, 0xBD), (0x76, 0x80, 0x8C)
_TEAL, _ORANGE = (0x17, 0x91, 0x7F), (0xD9, 0x58, 0x0D)
_CORNER = 2
_PACKED = 3
"""The zlib level. Levels 4 and 5 take twice as long for a larger file; level 6 makes it smaller by
a quarter, but takes two and a half times as long."""

Colour = tuple[int, int, int]


class Ink(NamedTuple):
    """A colour and its opacity from 0 to 255."""

    colour: Colour
    cover: int = 255


_SHAPES = {
    "gap": Ink(_GREY, 38),
    "tint": Ink(_TEAL, 52),
    "bar plain": Ink(_GREY),
    "bar earlier": Ink(_PALE),
    "bar now": Ink(_TEAL),
    "bar spike": Ink(_ORANGE),
    "bar planned": Ink(_TEAL, 42),
    "level": Ink(_TEAL),
    "floor": Ink(_GREY),
}
_OUTLINED = {"bar planned": "bar now"}
_LETTERS = {
    "quiet": _QUIET,
    "label plain": _QUIET,
    "label now": _TEAL,
    "label planned": _TEAL,
    "level": _TEAL,
    "label spike": _ORANGE,
}
_SIZE, _SPIKE_SIZE = 14.5, 19.0
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_LETTER_COLOURS = tuple(dict.fromkeys(_LETTERS.values()))
_SHAPE_PLACE = {name: n for n, name in enumerate(_SHAPES, start=1)}
_LETTER_PLACE = {colour: 1 + len(_SHAPES) + n * _LEVELS for n, colour in enumerate(_LETTER_COLOURS)}
_INKS = (
    Ink((0, 0, 0), 0),
    *_SHAPES.values(),
    *(
        Ink(colour, round(255 * (n + 1) / _LEVELS))
        for colour in _LETTER_COLOURS
        for n in range(_LEVELS)
    ),
)
_COLOURS = bytes(chain.from_iterable(ink.colour for ink in _INKS))
_COVERS = bytes(ink.cover for ink in _INKS)


def chart_png(svg: str, *, font: Path) -> bytes:
    """A chart's SVG as PNG at twice its size. Raises `ValueError` for an element it can't draw."""
    from PIL import Image, ImageDraw

    root = ET.fromstring(svg)  # noqa: S314 - our own template's SVG; its words are escaped there
    size = (int(root.attrib["width"]) * _ZOOM, int(root.attrib["height"]) * _ZOOM)
    image = Image.new("P", size, 0)
    image.putpalette(_COLOURS)
    draw = ImageDraw.Draw(image)
    words: list[tuple[_Word, float, float]] = []
    for element in root:
        kind = element.tag.rpartition("}")[2]
        if kind == "rect":
            _draw_rect(image, draw, element)
        elif kind == "line":
            left, right, level = map(round, _numbers(element, "x1", "x2", "y1"))
            place = _SHAPE_PLACE[element.attrib["class"]]
            if element.attrib["class"] == "level":
                _dashes(image, (left, level), (right, level), place)
            else:
                draw.line((left, level, right, level), fill=place, width=_ZOOM)
        elif kind == "text":
            word = _word(
                element.text or "",
                element.attrib["class"],
                _ANCHORS[element.attrib["text-anchor"]],
                font,
            )
            if word is not None:
                x, y = _numbers(element, "x", "y")
                words.append((word, x, y))
        elif kind != "title":
            raise ValueError(f"the chart's template draws a <{kind}>, which the PNG can't")
    for word, x, y in words:  # on top of the shapes
        corner = floor(x + 0.5) + word.right, ceil(y - 0.5) + word.down
        image.paste(word.places, corner, word.seen)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=_PACKED, transparency=_COVERS)
    return file.getvalue()


def _draw_rect(image: "Image.Image", draw: "ImageDraw.ImageDraw", element: ET.Element) -> None:
    x, y, width, height = _numbers(element, "x", "y", "width", "height")
    name = element.attrib["class"]
    left, top = round(x), round(y)
    box = (left, top, max(left, round(x + width) - 1), max(top, round(y + height) - 1))
    if name in _OUTLINED:
        draw.rectangle(box, fill=_SHAPE_PLACE[name])
        place = _SHAPE_PLACE[_OUTLINED[name]]
        _dashes(image, (box[0], box[1]), (box[0], box[3]), place)
        _dashes(image, (box[0], box[1]), (box[2], box[1]), place)
        _dashes(image, (box[2], box[1]), (box[2], box[3]), place)
        return
    corner = min(_CORNER * _ZOOM, (box[2] - box[0]) // 2, (box[3] - box[1]) // 2)
    draw.rounded_rectangle(box, max(0, corner), fill=_SHAPE_PLACE[name])


def _numbers(element: ET.Element, *names: str) -> tuple[float, ...]:
    return tuple(float(element.attrib[name]) * _ZOOM for name in names)


# Dashes

_DASH, _STEP, _THICK = 5 * _ZOOM, 9 * _ZOOM, 3


def _dashes(image: "Image.Image", begin: tuple[int, int], end: tuple[int, int], place: int) -> None:
    """A dashed line along one axis, to the right or down."""
    (left, top), (right, bottom) = begin, end
    is_level = top == bottom
    length = right - left if is_level else bottom - top
    if length > 0:
        corner = (left, top - 1) if is_level else (left - 1, top)
        image.paste(place, corner, _dash_mask(length, is_level))


@lru_cache(maxsize=1024)
def _dash_mask(length: int, is_level: bool) -> "Image.Image":
    from PIL import Image

    mask = Image.new("L", (length + 1, _THICK), 0)
    for begin in range(0, length, _STEP):
        end = min(begin + _DASH, length)
        mask.paste(255, (begin, 0, end + 1, _THICK))
    return mask if is_level else mask.transpose(Image.Transpose.TRANSPOSE)


# Letters


class _Word(NamedTuple):
    """Drawn letters as palette indexes, the mask of their pixels, and the offset of the anchor."""

    places: "Image.Image"
    seen: "Image.Image"
    right: int
    down: int


@lru_cache(maxsize=2048)
def _word(text: str, tone: str, anchor: str, font: Path) -> _Word | None:
    """The drawn word, with `right` and `down` as the offset from its anchor to its corner.

    None if nothing is visible.
    """
    from PIL import Image, ImageDraw

    face = _font(font, _SPIKE_SIZE if tone == "label spike" else _SIZE)
    text = text.replace("\u202f", "\u00a0")  # the font has no narrow no-break space
    left, top, right, bottom = map(round, face.getbbox(text, anchor=anchor))
    drawn = Image.new("L", (right - left + 2, bottom - top + 2), 0)
    ImageDraw.Draw(drawn).text((1 - left, 1 - top), text, fill=255, font=face, anchor=anchor)
    if (box := drawn.getbbox()) is None:
        return None
    # Each pixel of a letter has one of the levels of its colour.
    first, step = _LETTER_PLACE[_LETTERS[tone]], 256 / (_LEVELS + 1)
    drawn = drawn.crop(box)
    places = drawn.point([max(0, int(value / step) - 1) + first for value in range(256)])
    seen = drawn.point([255 if value >= step else 0 for value in range(256)])
    as_places = Image.frombytes("P", places.size, places.tobytes())
    return _Word(as_places, seen, box[0] + left - 1, box[1] + top - 1)


@lru_cache(maxsize=4)
def _font(font: Path, size: float) -> "ImageFont.FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(font, size * _ZOOM, layout_engine=ImageFont.Layout.BASIC)
