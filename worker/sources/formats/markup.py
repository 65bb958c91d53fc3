"""Walks an XML file element by element, in constant memory, for the GPX and TCX readers.

Nothing here knows what an element means. Entities can't be declared, so none can blow up or fetch
anything; namespaces' prefixes are dropped, as files in the wild get them wrong. What a parser has
to hold at once is bounded: the length of a tag, the names there are, how deep elements lie.
"""

from collections.abc import Callable
from math import isfinite
from xml.parsers import expat

Start = Callable[[dict[str, str]], None]
End = Callable[[str], None]

LONGEST_TEXT = 1000
LONGEST_TAG_BYTES = 256 * 1024
FEED_BYTES = 64 * 1024
MAX_NAMES = 1000  # of elements and attributes; an activity's file has some fifty
DEEPEST = 100


def parse_number(text: str | None) -> float | None:
    """A number as a file writes it; None for none, and for what no arithmetic can use."""
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) else None


class Refused(Exception):  # noqa: N818  # it reads as what happened
    """The file holds what no honest one does; the message says what."""


class Walk:
    """Calls `starts[name]` with an element's attributes, `ends[name]` with the text in it.

    `depth` is that of the element whose start or end is being told; the root's is 1.
    """

    def __init__(self, starts: dict[str, Start], ends: dict[str, End]) -> None:
        self.depth = 0
        self._starts = starts
        self._ends = ends
        self._text: list[str] = []
        self._text_left = 0
        self._names: dict[str, str] = {}  # the parser puts each name in here that it meets

    def run(self, content: bytes) -> str | None:
        """Walk the whole file; what is wrong with it in words, or None. Once.

        Raises `Refused`, and `MemoryError` where the parser can't get what it needs.
        """
        self._parser = expat.ParserCreate(intern=self._names)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.ElementDeclHandler = self._refuse_declaration
        self._parser.AttlistDeclHandler = self._refuse_declaration
        try:
            self._parse(content)
        except expat.ExpatError as error:
            if error.code == _NO_MEMORY:
                raise MemoryError from error
            ended = error.code in _CUT_OFF and error.lineno >= content.count(b"\n")
            return "the file is cut off" if ended else f"damaged in line {error.lineno}"
        except (ValueError, LookupError) as error:  # an encoding nobody knows, a NUL in a name
            return f"damaged: {error}"
        finally:
            del self._parser  # each holds the other; it and all it holds would outlive the walk
        return None

    def _parse(self, content: bytes) -> None:
        # Some exports begin with blanks, which XML forbids before its declaration.
        blanks = len(content[:LONGEST_TEXT]) - len(content[:LONGEST_TEXT].lstrip())
        rest = memoryview(content)[blanks:]
        for start in range(0, len(rest), FEED_BYTES):
            chunk = rest[start : start + FEED_BYTES]
            self._parser.Parse(chunk, False)
            # It stands at the start of what it waits for the end of.
            if start + len(chunk) - self._parser.CurrentByteIndex > LONGEST_TAG_BYTES:
                raise Refused(f"a tag or comment in it is over {LONGEST_TAG_BYTES // 1024} KB long")
        self._parser.Parse(b"", True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Refused(f"its elements lie over {DEEPEST} deep")
        if len(self._names) > MAX_NAMES:
            raise Refused(f"it has over {MAX_NAMES:,} names of elements and attributes")
        if ":" in name:
            name = name.rpartition(":")[2]
        if begin := self._starts.get(name):
            begin(attributes)
        if name in self._ends:
            self._text = []
            self._text_left = LONGEST_TEXT
            self._parser.CharacterDataHandler = self._add_text

    def _add_text(self, text: str) -> None:
        if self._text_left > 0:
            self._text.append(text)
            self._text_left -= len(text)

    def _end(self, name: str) -> None:
        if ":" in name:
            name = name.rpartition(":")[2]
        if finish := self._ends.get(name):
            self._parser.CharacterDataHandler = None
            finish("".join(self._text)[:LONGEST_TEXT].strip())
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
