"""Reading bytes as the reader's child does, without a process of its own."""

import io
from collections.abc import Iterator

from worker.sources import NotRead
from worker.sources.formats import Parsed
from worker.sources.formats.unpack import members


def read_content(content: bytes, *, name: str = "") -> Iterator[tuple[str, Parsed | NotRead]]:
    """Each member's name and what it gives; a file that is no archive is its own only member."""
    for member in members(io.BytesIO(content), name=name):
        yield member.name, member.parsed
