"""The calendar of a plan, checked by two parsers and against RFC 5545."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar, Event

from simulators import mail_facts as made
from worker.domain.models import Athlete, Plan, PlannedWeek
from worker.domain.rules import Rules
from worker.notify import CalendarFacts, Composer

THEN = datetime(2026, 2, 16, 6, 30, 15, 123_456, tzinfo=UTC)
MIRA = replace(made.athlete(), link_id="a random name")
MONDAY = date(2026, 2, 16)
WEEKS = tuple(
    PlannedWeek(
        starts_on=MONDAY + timedelta(weeks=number),
        kind="taper" if number == 3 else "build",
        week_m=30_000 + 1_000 * number,
        long_m=12_340 + 1_000 * number if number != 3 else 0,
        long_on=MONDAY + timedelta(weeks=number, days=6) if number != 3 else None,
        easy_m=(6_000, 6_000),
    )
    for number in range(4)
)
PLAN = Plan(MONDAY, "on track", WEEKS)


def calendar(
    plan: Plan = PLAN,
    *,
    athlete: Athlete = MIRA,
    language: str = "en",
    changed_at: datetime = THEN,
) -> bytes:
    facts = CalendarFacts(athlete, plan, rules=Rules(), changed_at=changed_at)
    return Composer(language=language).calendar(facts)


def events(content: bytes) -> Sequence[Event]:
    read = Calendar.from_ical(content)
    assert isinstance(read, Calendar)
    return read.events


PLANS = {
    "a race": PLAN,
    "one week": Plan(MONDAY, "open", WEEKS[:1]),
    "see somebody": Plan(MONDAY, "see somebody", reason="the last check-in says so"),
    "unknown": Plan(MONDAY, "unknown", reason="no run is known yet"),
    "rest": Plan(MONDAY, "open", (PlannedWeek(MONDAY, "rest", 0, 0, None),)),
}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "America/St_Johns"])
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("language", ["en", "de"])
def test_it_is_what_the_rfc_asks_for(name: str, language: str, zone: str) -> None:
    """Lines end with CRLF and have at most 75 octets; required properties are there once."""
    content = calendar(
        PLANS[name], language=language, athlete=replace(MIRA, timezone=ZoneInfo(zone).key)
    )
    assert content.endswith(b"END:VCALENDAR\r\n")
    lines = content.split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line or len(line) > 75 for line in lines)
    unfolded = content.replace(b"\r\n ", b"").decode().split("\r\n")
    assert unfolded[0] == "BEGIN:VCALENDAR"
    for one in ("VERSION:2.0", "PRODID:-//Easeback//Plan//EN", "METHOD:PUBLISH"):
        assert unfolded.count(one) == 1
    # At least one component, even if nothing is planned.
    assert any(line.startswith("BEGIN:") for line in unfolded[1:])
    starts = unfolded.count("BEGIN:VEVENT")
    for needed in ("UID:", "DTSTAMP:", "DTSTART;VALUE=DATE:", "DTEND;VALUE=DATE:", "SEQUENCE:"):
        assert sum(line.startswith(needed) for line in unfolded) == starts


@pytest.mark.parametrize("name", PLANS)
def test_two_parsers_read_the_same_long_runs(name: str) -> None:
    """icalendar and ical: all-day events with an exclusive end, none without a long run."""
    content = calendar(PLANS[name])
    planned = [week for week in PLANS[name].weeks if week.long_on]
    read = [(one.start, one.end, str(one["summary"])) for one in events(content)]
    from ical.calendar_stream import IcsCalendarStream  # the import reads all time zones

    other = IcsCalendarStream.calendar_from_ics(content.decode()).events
    assert read == [(one.dtstart, one.dtend, one.summary) for one in other]
    assert [start for start, _, _ in read] == [week.long_on for week in planned]
    assert all(end - start == timedelta(days=1) for start, end, _ in read)
    assert all(one.transparency == "TRANSPARENT" for one in other)


def test_an_event_says_how_far_and_of_which_week() -> None:
    """Rounded down, as everywhere, in the athlete's units and language."""
    first = events(calendar())[0]
    assert str(first["summary"]) == "Long run, at most 12.3 km"
    assert "all runs at most 30.0 km, with two easy runs of at most 6.0 km" in first["description"]
    assert "a coach's plan" in first["description"]
    miles = events(calendar(athlete=replace(MIRA, units="mi"), language="de"))[0]
    assert str(miles["summary"]) == "Langer Lauf, höchstens 7,6 mi"


def test_an_events_name_is_its_weeks_and_stays() -> None:
    """Another distance or day is the same event, changed; another athlete's has another UID."""
    longer = replace(
        WEEKS[1], long_m=9_000, long_on=WEEKS[1].long_on and WEEKS[1].long_on - timedelta(days=1)
    )
    later = calendar(
        replace(PLAN, weeks=(WEEKS[0], longer, *WEEKS[2:])), changed_at=THEN + timedelta(seconds=2)
    )
    before, after = events(calendar()), events(later)
    uids = [str(one["uid"]) for one in before]
    assert uids == [str(one["uid"]) for one in after]
    assert len(set(uids)) == len(uids)
    assert (before[1].start, after[1].start) == (date(2026, 3, 1), date(2026, 2, 28))
    for one, other in zip(before, after, strict=True):
        assert other["sequence"] > one["sequence"]
        assert other["last-modified"].dt > one["last-modified"].dt
    nora = events(calendar(athlete=replace(MIRA, link_id="another name")))
    assert not {str(one["uid"]) for one in nora} & set(uids)


def test_the_same_facts_are_the_same_bytes() -> None:
    """So a client can be told that nothing changed."""
    assert calendar() == calendar()


def test_numbers_fit_where_calendars_put_them() -> None:
    """They fit 32 bits, and aren't negative with a clock that was never set."""
    late, early = datetime(2087, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)
    assert 0 < events(calendar(changed_at=late))[0]["sequence"] < 2**31
    assert events(calendar(changed_at=early))[0]["sequence"] == 0


@pytest.mark.parametrize(
    ("name", "language", "said"),
    [
        ("see somebody", "en", "see somebody first"),
        ("see somebody", "de", "Lass es erst abklären"),
        ("unknown", "en", "too little history"),
        ("unknown", "de", "zu wenig Vorgeschichte"),
        ("rest", "en", "No long run is planned this week"),
        ("rest", "de", "kein langer Lauf geplant"),
    ],
)
def test_an_empty_calendar_says_why(name: str, language: str, said: str) -> None:
    """In the calendar's description, as there's no event for it."""
    content = calendar(PLANS[name], language=language)
    read = Calendar.from_ical(content)
    assert said in str(read["x-wr-caldesc"])
    assert not events(content)


@pytest.mark.parametrize("language", ["en", "de"])
def test_nothing_of_pain_or_findings_is_in_it(language: str) -> None:
    """A calendar is shared with others; even a week after pain is just a gentle one."""
    weeks = (replace(WEEKS[0], kind="gentle"), replace(WEEKS[1], kind="rest", long_on=None))
    said = calendar(replace(PLAN, weeks=weeks), language=language).decode().lower()
    for word in ("hurt", "pain", "sore", "weh", "schmerz", "what happened", "sprung", "mira"):
        assert word not in said
