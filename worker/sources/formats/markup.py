"""Walks an XML file element by element, in constant memory, for the GPX and TCX readers.

It doesn't know what an element means. Entities can't be declared, so none can expand or fetch
anything. Namespace prefixes are dropped, because real files get them wrong. What the parser holds
in memory is limited: the length of a tag, the number of names, the depth of elements. A file that
isn't well-formed is read again with its stray characters escaped, because everything after one
would be lost otherwise.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from html import escape
from html.entities import html5
from math import isfinite
from typing import Protocol, TypeVar
from xml.parsers import expat

Start = Callable[[dict[str, str]], None]
Text = Callable[[str], None]
End = Callable[[], None]

LONGEST_TEXT = 1000
LONGEST_TAG_BYTES = 256 * 1024
FEED_BYTES = 64 * 1024
MAX_NAMES = 1000  # of elements and attributes; an activity's file has about fifty
DEEPEST = 100
_DAMAGED = "damaged"


def parse_number(text: str | None) -> float | None:
    """A number in a file, with a decimal point or comma, in any script's digits.

    None for anything else, including infinity and "not a number".
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        try:
            value = float(text.translate(_DECIMALS))
        except ValueError:
            return None
    return value if isfinite(value) else None


_DECIMALS = str.maketrans({",": ".", "\u066b": ".", "\u2212": "-"})

_Calls = tuple[Start | None, Text | None, End | None]


class Refused(Exception):  # noqa: N818  # named for what happened
    """The file contains something that no legitimate file does; the message says what."""


class Walk:
    """Calls `starts[name]` with an element's attributes, and `texts[name]` or `ends` at its end.

    `texts[name]` gets the element's text. `depth` is the depth of the element whose start or end
    is reported; the root's is 1.
    """

    def __init__(
        self, starts: dict[str, Start], texts: dict[str, Text], ends: dict[str, End]
    ) -> None:
        self.depth = 0
        self._starts = starts
        self._texts = texts
        self._ends = ends
        self._text: list[str] = []
        self._names: dict[str, str] = {}  # filled by the parser with each name that it finds
        self._calls: dict[str, _Calls] = {}  # by the names as written, with prefixes

    def run(self, content: bytes, *, mend: bool = False) -> str | None:
        """Walk the whole file, once; returns what is wrong with it in words, or None.

        `mend` escapes stray characters first. Raises `Refused`, and `MemoryError` if the parser
        can't get the memory it needs.
        """
        encoding = "utf-8" if mend else None
        self._parser = expat.ParserCreate(encoding, intern=self._names)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.ElementDeclHandler = self._refuse_declaration
        self._parser.AttlistDeclHandler = self._refuse_declaration
        try:
            self._parse(_mended(content) if mend else _chunks(content))
        except expat.ExpatError as error:
            if error.code == _NO_MEMORY:
                raise MemoryError from error
            ended = error.code in _CUT_OFF and error.lineno >= content.count(b"\n")
            return "the file is cut off" if ended else f"{_DAMAGED} in line {error.lineno}"
        except (ValueError, LookupError) as error:  # an unknown encoding, a NUL in a name
            return f"{_DAMAGED}: {error}"
        finally:
            del self._parser  # breaks a reference cycle that would outlive the walk
        return None

    def _parse(self, chunks: Iterator[memoryview | bytes]) -> None:
        fed = 0
        for chunk in chunks:
            self._parser.Parse(chunk, False)
            fed += len(chunk)
            # The parser is at the start of an item whose end it hasn't seen.
            if fed - self._parser.CurrentByteIndex > LONGEST_TAG_BYTES:
                raise Refused(f"a tag or comment in it is over {LONGEST_TAG_BYTES // 1024} KB long")
            self._bound()
        self._parser.Parse(b"", True)
        self._bound()

    def _bound(self) -> None:
        """Check the limits that the last chunk may have exceeded; called once for each chunk."""
        if len(self._names) > MAX_NAMES:
            raise Refused(f"it has over {MAX_NAMES:,} names of elements and attributes")
        if sum(map(len, self._text)) > LONGEST_TEXT:
            self._parser.CharacterDataHandler = None

    def _calls_of(self, name: str) -> "_Calls":
        """The callbacks of an element of this name, with any prefix."""
        plain = name.rpartition(":")[2]
        calls = self._starts.get(plain), self._texts.get(plain), self._ends.get(plain)
        return self._calls.setdefault(name, calls)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Refused(f"its elements lie over {DEEPEST} deep")
        begin, tell, _ = self._calls.get(name) or self._calls_of(name)
        if begin:
            begin(attributes)
        if tell:
            self._text = []
            self._parser.CharacterDataHandler = self._text.append

    def _end(self, name: str) -> None:
        _, tell, finish = self._calls[name]
        if tell:
            self._parser.CharacterDataHandler = None
            tell("".join(self._text)[:LONGEST_TEXT].strip())
        if finish:
            finish()
        self.depth -= 1

    @staticmethod
    def _refuse_entity(*_: object) -> None:
        raise Refused("it declares entities, which no activity needs")

    @staticmethod
    def _refuse_declaration(*_: object) -> None:
        raise Refused("it declares elements of its own, which no activity needs")


_NO_MEMORY = expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]
_CUT_OFF = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}


class Walker(Protocol):
    """A reader: the callbacks of its walk."""

    walk: Walk


_Reader = TypeVar("_Reader", bound=Walker)


def read_through(content: bytes, new_reader: Callable[[], _Reader]) -> tuple[_Reader, str | None]:
    """A reader that has walked the file (repaired if necessary), and what was wrong with it.

    Raises as `Walk.run` does.
    """
    reader = new_reader()
    damage = reader.walk.run(content)
    if damage is None or not damage.startswith(_DAMAGED):
        return reader, damage
    reader = new_reader()
    still = reader.walk.run(content, mend=True)
    return reader, still or "characters in it that XML doesn't allow"


def _chunks(content: bytes) -> Iterator[memoryview]:
    """The file in chunks, without leading blanks, which XML forbids before its declaration."""
    head = content[:LONGEST_TEXT]
    rest = memoryview(content)[len(head) - len(head.lstrip()) :]
    for start in range(0, len(rest), FEED_BYTES):
        yield rest[start : start + FEED_BYTES]


# Characters that XML text can't contain; everything else is left to the parser.
_STRAY = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"  # control characters
    r"|&(?:#(?:(\d{1,7})|[xX]([\da-fA-F]{1,6}));|(\w{1,31});)?"  # each &, with its reference
    r"|<(?=[\s\d<=.,;)])"  # in "a < b", in "<3"
)
_OWN_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})
_LONGEST_STRAY = 40
_BLANK = " \t\r\n\ufeff"


def _mended(content: bytes) -> Iterator[bytes]:
    """The file as UTF-8 in chunks, with each stray character escaped."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if is_wide else "utf-8")(errors="replace")
    rest = ""
    is_first = True
    for start in range(0, len(content), FEED_BYTES):
        text = rest + decoder.decode(memoryview(content)[start : start + FEED_BYTES])
        if is_first:
            text = text.lstrip(_BLANK)
            is_first = not text
        # A match might continue in the next chunk.
        keep = max(text.rfind("&", -_LONGEST_STRAY), text.rfind("<", len(text) - 1))
        rest = text[keep:] if keep >= 0 else ""
        text = text[:keep] if keep >= 0 else text
        yield _STRAY.sub(_as_it_should_be, text).encode()
    yield _STRAY.sub(_as_it_should_be, rest + decoder.decode(b"", True)).encode()


def _as_it_should_be(stray: re.Match[str]) -> str:
    text = stray[0]
    decimal, hexadecimal, name = stray.groups()
    if decimal or hexadecimal:
        code = int(decimal or hexadecimal, 10 if decimal else 16)
        return text if _is_character(code) else "\ufffd"
    if name in _OWN_ENTITIES:
        return text
    if name:
        return escape(html5.get(f"{name};", text), quote=False)
    return {"&": "&amp;", "<": "&lt;"}.get(text, " ")


def _is_character(code: int) -> bool:
    """True for a character that XML allows: no surrogate, no control character."""
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0x10FFFD  # noqa: PLR2004
