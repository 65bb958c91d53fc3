"""Bounded XML: content that a parser would have to hold in memory is refused."""

import gc
from collections.abc import Callable
from xml.parsers import expat

import pytest

from worker.sources import NotARun, Unreadable
from worker.sources.formats import Parsed, gpx, tcx
from worker.sources.formats.markup import (
    DEEPEST,
    LONGEST_TAG_BYTES,
    MAX_NAMES,
)

Parse = Callable[[bytes], Parsed]


@pytest.fixture(
    params=[(gpx.parse_gpx, "gpx"), (tcx.parse_tcx, "TrainingCenterDatabase")], ids=["g", "t"]
)
def read(request: pytest.FixtureRequest) -> Callable[[str], Parsed]:
    """An XML reader; takes the content of the root element and closes it."""
    parse, root = request.param
    return lambda inside: parse(f"<{root}>{inside}</{root}>".encode())


def names(count: int) -> str:
    """That many attributes."""
    return "".join(f' n{number}=""' for number in range(count))


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (lambda: f"<a{names(800_000)}/>", "a tag or comment in it is over 256 KB long"),
        (lambda: f"<a b='{'x' * 10 * LONGEST_TAG_BYTES}'/>",
         "a tag or comment in it is over 256 KB long"),
        (lambda: f"<!--{'x' * 10 * LONGEST_TAG_BYTES}-->",
         "a tag or comment in it is over 256 KB long"),
        (lambda: f"<a{names(2 * MAX_NAMES)}/>",
         "it has over 1,000 names of elements and attributes"),
        (lambda: "".join(f"<n{n} a{n}=''/>" for n in range(MAX_NAMES)),
         "it has over 1,000 names of elements and attributes"),
        (lambda: "<a>" * 10 * DEEPEST, "its elements lie over 100 deep"),
    ],
    ids=["attributes", "value", "comment", "names of one", "names of many", "depth"],
)  # fmt: skip
def test_refuses_what_would_fill_memory(
    read: Callable[[str], Parsed], inside: Callable[[], str], expected: str
) -> None:
    """Ten times the amount in any honest file."""
    assert read(inside()) == Unreadable(f"not read: {expected}")


@pytest.mark.parametrize(
    "declaration", ["<!ATTLIST gpx a CDATA ''>", "<!ELEMENT gpx ANY>", "<!ENTITY a 'a'>"]
)
def test_refuses_declarations(declaration: str) -> None:
    """Default attributes would multiply on every element."""
    parsed = gpx.parse_gpx(f"<!DOCTYPE gpx [{declaration}]><gpx/>".encode())
    assert isinstance(parsed, Unreadable)
    assert "which no activity needs" in parsed.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("letter", ["x", "ä", "\u3c3c", "\U0001f600"])
def test_long_text_and_long_files_are_no_harm(letter: str, encoding: str) -> None:
    """Text is parsed in pieces whatever its length, and only the start of a name is kept."""
    long = letter * 2 * LONGEST_TAG_BYTES
    content = f"<gpx><metadata><desc>{long}</desc></metadata><trk><name>{long}</name></trk></gpx>"
    assert gpx.parse_gpx(content.encode(encoding)) == NotARun(
        "a GPX file without a track, not a recorded run"
    )


def parsers() -> int:
    """The number of parsers in this process."""
    return sum(type(one) is expat.XMLParserType for one in gc.get_objects())


@pytest.mark.parametrize("inside", ["", "<a>", "<a>" * 10 * DEEPEST], ids=["good", "torn", "deep"])
def test_nothing_of_a_file_stays_behind(read: Callable[[str], Parsed], inside: str) -> None:
    """The parser and its names are freed after the walk without garbage collection."""
    gc.collect()
    gc.disable()
    try:
        before = parsers()
        read(inside)
        assert parsers() == before
    finally:
        gc.enable()
