"""Reads bytes as the reader's child does, but in this process."""

import io
from collections.abc import Iterator

from worker.sources import NotRead
from worker.sources.formats import Parsed
from worker.sources.formats.unpack import members


def read_content(content: bytes, *, name: str = "") -> Iterator[tuple[str, Parsed | NotRead]]:
    """Each member's name and result; a file that is no archive is its only member."""
    for member in members(io.BytesIO(content), name=name):
        yield member.name, member.parsed
