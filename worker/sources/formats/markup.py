"""Walks an XML file element by element, in constant memory, for the GPX and TCX readers.

Nothing here knows what an element means. Entities can't be declared, so none can blow up or fetch
anything; namespaces' prefixes are dropped, as files in the wild get them wrong.
"""

from collections.abc import Callable
from math import isfinite
from xml.parsers import expat

Start = Callable[[dict[str, str]], None]
End = Callable[[str], None]

LONGEST_TEXT = 1000
LONGEST_NAME = 80


def number(text: str | None) -> float | None:
    """A number as a file writes it; None for none, and for what no arithmetic can use."""
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) else None


def plain(text: str) -> str:
    """A name as a stranger wrote it, without controls or marks that turn the line, and not long."""
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST_NAME]


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
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse_entity

    def run(self, content: bytes) -> str | None:
        """Walk the whole file; what is wrong with it in words, or None. Raises `Refused`."""
        try:
            # Some exports begin with blanks, which XML forbids before its declaration.
            blanks = len(content[:LONGEST_TEXT]) - len(content[:LONGEST_TEXT].lstrip())
            self._parser.Parse(memoryview(content)[blanks:], True)
        except expat.ExpatError as error:
            ended = error.code in _CUT_OFF and error.lineno >= content.count(b"\n")
            return "the file is cut off" if ended else f"damaged in line {error.lineno}"
        except (ValueError, LookupError) as error:  # an encoding nobody knows, a NUL in a name
            return f"damaged: {error}"
        return None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if ":" in name:
            name = name.rpartition(":")[2]
        if begin := self._starts.get(name):
            begin(attributes)
        if name in self._ends:
            self._text = []
            self._parser.CharacterDataHandler = self._text.append

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


_CUT_OFF = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
