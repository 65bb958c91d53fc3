"""Pictures of exercises: the shipped ones, and the operator's own in the folder of their routine.

Pages draw a shipped picture from its SVG, in their own colours, and load an operator's as a file.
Mails contain PNG or JPEG. They don't contain an operator's SVG, because mail readers show none.
"""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree as ET

from worker.domain.routine import PICTURES, Step

_FOLDER = Path(__file__).parent / "templates" / "exercises"
_LARGEST_FILE_BYTES = 5 * 2**20
_LARGEST_SVG_BYTES = 100_000
_MOST_PIXELS = 40_000_000
_LONGEST_SIDE = 480
_QUALITY = 72
_KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}


class PictureError(ValueError):
    """A picture can't be used; the message says which one and why."""


@dataclass(frozen=True, slots=True)
class ExercisePicture:
    """The picture of a step. Pages include `svg`, or else load `content` from `path`.

    `content` is a PNG or JPEG of at most 480 by 480 pixels, or an SVG.
    """

    content: bytes
    kind: str
    svg: str = ""

    @property
    def path(self) -> str:
        """Contains a digest of the content, so that browsers may cache it for ever."""
        return f"/pictures/{sha256(self.content).hexdigest()[:16]}{self.kind}"

    @property
    def media_type(self) -> str:
        return _KINDS[self.kind]

    @property
    def for_mails(self) -> bool:
        return self.kind != ".svg"


@cache
def shipped_pictures() -> Mapping[str, ExercisePicture]:
    """The pictures that come with Easeback, by name."""
    return {
        name: ExercisePicture(
            (_FOLDER / f"{name}.png").read_bytes(), ".png", (_FOLDER / f"{name}.svg").read_text()
        )
        for name in PICTURES
    }


def own_pictures(steps: Iterable[Step], folder: Path) -> Mapping[str, ExercisePicture]:
    """The pictures of these steps in `folder`, by name. Raises `PictureError`."""
    names = sorted({step.picture for step in steps} - {"", *PICTURES})
    return {name: _read(folder / name) for name in names}


def _read(path: Path) -> ExercisePicture:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise PictureError(f"{path}: can't be read: {error.strerror or error}") from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise PictureError(f"{path}: a picture has {_LARGEST_FILE_BYTES // 2**20} MB at most")
    if path.suffix.lower() == ".svg":
        return _svg(path, content)
    try:
        return _reduced(content)
    except Exception as error:  # a decoder may raise anything for a broken file
        raise PictureError(f"{path}: is no whole PNG or JPEG picture") from error


def _svg(path: Path, content: bytes) -> ExercisePicture:
    if len(content) > _LARGEST_SVG_BYTES:
        raise PictureError(f"{path}: an SVG has {_LARGEST_SVG_BYTES // 1000} kB at most")
    try:
        # Without a document type there are no entities to expand.
        is_svg = not re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE) and ET.fromstring(  # noqa: S314
            content
        ).tag.endswith("svg")
    except (ET.ParseError, ValueError):
        is_svg = False
    if not is_svg:
        raise PictureError(f"{path}: is no SVG picture (one without a document type)")
    return ExercisePicture(content, ".svg")


def _reduced(content: bytes) -> ExercisePicture:
    """The picture, reduced to the size for mails and phones and without camera metadata."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
        if opened.width * opened.height > _MOST_PIXELS:
            raise ValueError(opened.size)
        picture = ImageOps.exif_transpose(opened)
    has_ground = "A" not in picture.getbands() and "transparency" not in picture.info
    picture = picture.convert("RGB" if has_ground else "RGBA")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = io.BytesIO()
    if has_ground:
        picture.save(file, "JPEG", quality=_QUALITY, optimize=True)
    else:
        picture.quantize(64).save(file, "PNG", optimize=True)
    return ExercisePicture(file.getvalue(), ".jpg" if has_ground else ".png")
