"""What stands out about an athlete of the practice, and the order of athletes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from worker.domain.checkins import CheckIn
from worker.domain.models import Finding
from worker.domain.practice import (
    BlindSource,
    PracticeRow,
    Undelivered,
    by_urgency,
    standing_of,
)

NOW = datetime(2026, 2, 21, 15, 30, tzinfo=UTC)
TODAY = date(2026, 2, 21)
FINDING = Finding(TODAY, "run", 1, 2, 14_200.0, 8_900.0)


def back(days: int) -> date:
    return TODAY - timedelta(days=days)


def row(name: str = "Anna", **more: object) -> PracticeRow:
    plain = PracticeRow(
        id=1, link_id="a", name=name, timezone="Europe/Berlin", units="km",
        added_at=NOW - timedelta(days=300), paused_at=None, last_run_on=TODAY,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]  # fields of the row


def hurts(days: int, *flags: str, level: int = 4) -> CheckIn:
    return CheckIn(back(days), "hurts", ("knee",), level, flags)


@pytest.mark.parametrize(
    ("more", "concerns"),
    [
        ({}, ()),
        ({"diary": [hurts(1, "fever")]}, ("flags", "hurts")),
        ({"diary": [hurts(1, "fever"), CheckIn(TODAY, "fine")]}, ()),
        ({"diary": [hurts(15, "fever")]}, ()),
        ({"diary": [hurts(3)]}, ("hurts",)),
        ({"diary": [CheckIn(back(2), "sore", ("calf",), 2)]}, ("sore",)),
        ({"diary": [hurts(5, level=8), CheckIn(back(2), "sore", ("calf",), 2)]}, ("hurts",)),
        ({"warned": FINDING, "warned_on": back(13)}, ("warned",)),
        ({"warned": FINDING, "warned_on": back(14)}, ()),
        ({"last_run_on": back(13)}, ()),
        ({"last_run_on": back(14)}, ("quiet",)),
        ({"last_run_on": None}, ("quiet",)),
        ({"last_run_on": None, "added_at": NOW - timedelta(days=5)}, ()),
        ({"last_run_on": back(40), "paused_at": NOW}, ("paused",)),
        ({"blind": [BlindSource("strava", None, "no")]}, ("blind",)),
        ({"undelivered": Undelivered(NOW, "550", is_held=False)}, ("unreached",)),
    ],
)
def test_what_stands_out(more: dict[str, object], concerns: tuple[str, ...]) -> None:
    """Each reason by itself, to the day; a paused athlete needn't run."""
    assert standing_of(row(**more), now=NOW).concerns == concerns


def test_it_is_said_since_when() -> None:
    """A flag since its first day; pain since the first answer after the last "fine"."""
    diary = [hurts(20), CheckIn(back(9), "fine"), hurts(6), hurts(3, "fever"), hurts(1)]
    one = standing_of(row(diary=diary), now=NOW)
    assert one.flags == {"fever": back(3)}
    assert one.unwell_since == back(6)
    assert one.answer == diary[-1]


def test_a_fortnight_without_an_answer_begins_anew() -> None:
    """An answer from long before isn't the same pain."""
    one = standing_of(row(diary=[hurts(30), hurts(3)]), now=NOW)
    assert one.unwell_since == back(3)


def test_today_is_the_athletes_own() -> None:
    """In Auckland it's already tomorrow, and the answer of a fortnight ago has expired."""
    diary = [hurts(13)]
    assert standing_of(row(diary=diary), now=NOW).concerns == ("hurts",)
    there = row(diary=diary, timezone="Pacific/Auckland")
    assert standing_of(there, now=NOW).concerns == ()


def test_the_gravest_come_first() -> None:
    """Emergency, red flag, should be seen, hurts, warned, sore, then the rest by name."""
    expected = [
        row("Emergency", diary=[hurts(9, "weak_legs")]),
        row("Flag of yesterday", diary=[hurts(1, "fever")]),
        row("Flag of last week", diary=[hurts(7, "fever")]),
        row("Should be seen", diary=[hurts(5, level=8)]),
        row("Hurts", diary=[hurts(2)]),
        row("Warned today", warned=FINDING, warned_on=TODAY),
        row("Warned before", warned=FINDING, warned_on=back(5)),
        row("Sore", diary=[CheckIn(back(2), "sore")]),
        row("Quiet", last_run_on=back(20)),
        row("Blind", blind=[BlindSource("strava", None, "no")]),
        row("Unreached", undelivered=Undelivered(NOW, "550", is_held=False)),
        row("Paused", paused_at=NOW),
        row("älter"),
        row("Ärger"),
        row("Zoë"),
    ]
    shuffled = sorted(expected, key=lambda one: one.name[::-1])
    found = by_urgency(standing_of(one, now=NOW) for one in shuffled)
    names = [one.row.name for one in found]
    assert names[:-3] == [one.name for one in expected[:-3]]
    assert set(names[-3:]) == {"älter", "Ärger", "Zoë"}
