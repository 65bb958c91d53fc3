"""Hostile text in names, addresses, errors and forms: shown harmlessly or not at all."""

from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from simulators.web_instance import Instance, run_winter
from worker.domain.models import Athlete, Race
from worker.store.progress import SourceState
from worker.web.forms import read_form

HOSTILE = (
    "Mira\r\nSet-Cookie: x=1\r\n\r\n<h1>x</h1>",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% include 'x' %}",
    "\u202egnirekcah\u202c \u2066x\u2069",
    "👩🏽‍🚀🏃‍♀️" * 30,
    "x" * 10_000,
    "=HYPERLINK(1)",
    "\x00\x07\u2028",
)


class Outline(HTMLParser):
    """The tags of a page in order, with their active attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.acting: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.acting += [name for name, _ in attrs if name.startswith("on") or name == "style"]


@pytest.fixture(params=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


@pytest.fixture
def pages(made: Instance, client: TestClient, hostile: str) -> dict[str, str]:
    """Every page of an athlete with hostile texts, by name."""
    victim = made.add(
        hostile[:80],
        email=f"{hostile}@example.org",
        race=Race(hostile, made.clock.now.date(), 21_097.5),
    )
    run_winter(made, victim)
    with made.store.transaction() as tx:
        tx.progress.save_source(victim, "strava", SourceState("failing", None, hostile))
        tx.progress.ticked("inbox", at=made.clock.now, trouble=hostile)
    return _pages(made, client, victim)


def _pages(made: Instance, client: TestClient, victim: Athlete) -> dict[str, str]:
    link = made.link("checkin", victim)
    answers = {
        "athlete": client.get(made.link("athlete", victim)),
        "checkin": client.get(link),
        "checked in": client.post(link, data={"feels": "sore"}),
        "unsubscribe": client.get(made.link("unsubscribe", victim, kind="weekly")),
        "status": client.get("/status"),
    }
    assert {answer.status_code for answer in answers.values()} == {200}
    assert not any("set-cookie" in answer.headers for answer in answers.values())
    return {name: answer.text for name, answer in answers.items()}


def test_no_text_becomes_markup(made: Instance, client: TestClient, pages: dict[str, str]) -> None:
    """The tags of each page are those of a harmless athlete's, without active content."""
    plain = made.add("Plain", race=Race("Race", made.clock.now.date(), 21_097.5))
    run_winter(made, plain)
    harmless = _pages(made, client, plain)
    for name, page in pages.items():
        if name != "status":  # it lists both by now
            assert Outline(page).tags == Outline(harmless[name]).tags, name
        assert Outline(page).acting == [], name
        assert "script" not in Outline(page).tags, name


def test_no_text_is_run_turned_round_or_endless(pages: dict[str, str]) -> None:
    """Braces stay braces, bidi marks and control characters are removed, lengths are limited."""
    for name, page in pages.items():
        assert ">49<" not in page
        assert not set(page) & set("\u202e\u2066\x00\x07\u2028"), name
        assert len(page) < 40_000, name


def test_a_tables_cell_is_no_formula(made: Instance, client: TestClient) -> None:
    """Cells that a spreadsheet would run are marked as text."""
    from worker.web.export import _cell

    assert _cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert _cell(-3.5) == -3.5
    assert _cell("plain") == "plain"


@given(
    kind=st.sampled_from(
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
    )
    | st.text(max_size=60),
    body=st.binary(max_size=400),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_bytes_are_a_form_of_some_kind(kind: str, body: bytes) -> None:
    """No request body breaks the parser."""
    form = read_form(kind, body)
    assert all(isinstance(value, str) for values in form.fields.values() for value in values)


def test_forms_are_read_alike_in_both_encodings() -> None:
    """Repeated names, and letters beyond ASCII."""
    coded = read_form("application/x-www-form-urlencoded; charset=utf-8", b"a=1&a=%C3%A9&b=")
    body = (
        "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"
        '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\né\r\n'
        '--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n\r\n--x--\r\n'
    )
    parts = read_form("multipart/form-data; boundary=x", body.encode())
    assert coded.fields == parts.fields == {"a": ("1", "é"), "b": ("",)}
