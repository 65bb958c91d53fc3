"""The weekly mail: once per athlete and week, at the athlete's hour."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain

import pytest

from tests.app import App, recording, steady
from tests.counting import counted
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Email, Race, Recording, WeeklyHour
from worker.notify import Composer, WeeklyFacts
from worker.pipeline.weekly import queue_due_weeklies, queue_weekly

MONDAY = date(2026, 11, 16)
DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(days=7)


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), tzinfo=UTC)


def told(app: App) -> list[tuple[date, str]]:
    """Every week that was mailed or skipped."""
    with app.services.store.reading() as tx:
        rows = tx.connection.exec_driver_sql(
            "SELECT week_starts_on, state FROM weekly ORDER BY week_starts_on"
        )
        return [(date.fromisoformat(str(row[0])), row[1]) for row in rows]


def tick(app: App, since: datetime, until: datetime, every: timedelta) -> Iterator[datetime]:
    """Advance the clock and queue due mails at each step; returns the times when one was queued."""
    app.now = since
    before = len(app.unsent())
    while app.now <= until:
        queue_due_weeklies(app.services, app.now)
        after = len(app.unsent())
        if after > before:
            yield app.now
        before = after
        app.now += every


def test_it_is_due_once_a_week_at_the_athletes_hour(app: App) -> None:
    """07:00 in Berlin is 06:00 UTC in winter; checked over two weeks."""
    app.now = at(MONDAY)
    app.athlete()
    assert list(tick(app, at(MONDAY), at(MONDAY, 5, 59), HOUR)) == []
    queued = list(tick(app, at(MONDAY, 5, 59), at(MONDAY, 6, 5), HOUR / 60))
    queued += tick(app, at(MONDAY, 9), at(MONDAY + 15 * DAY), 3 * HOUR)
    assert queued == [at(MONDAY + number * WEEK, 6) for number in range(3)]
    assert told(app) == [(MONDAY + number * WEEK, "queued") for number in (-1, 0, 1)]


def test_the_first_one_announced_is_the_first_one_sent(app: App) -> None:
    """Added on Monday at three: last week ended before, so that day's mail isn't announced."""
    with app.services.store.transaction() as tx:
        anna = tx.athletes.add(
            Athlete(0, "Anna", "anna@example.org", at(MONDAY, 3), timezone="Europe/Berlin")
        )
        assert tx.athletes.next_weekly_at(anna) == at(MONDAY + WEEK, 6)


def test_who_never_ran_is_not_told_of_weeks_without_a_run(app: App) -> None:
    """Without any run there's no break: the mail says how runs are imported."""
    app.now = at(MONDAY - 5 * DAY)
    app.athlete(added_at=app.now)
    app.now = at(MONDAY, 12)
    app.pass_on()
    (mail,) = app.mailer.taken
    text = str(mail.get_body(("plain",)))
    assert "No run has come in yet" in text
    assert "without a run" not in text


def test_it_tells_of_the_week_that_ended(app: App) -> None:
    """Monday to Sunday, without the days around."""
    app.now = at(MONDAY)
    anna = app.athlete()
    app.runs(anna, [recording(MONDAY + back * DAY, km)
                      for back, km in ((-8, 20.0), (-7, 5.0), (-1, 6.5), (0, 30.0))])  # fmt: skip
    app.now = at(MONDAY, 12)
    app.pass_on()
    (mail,) = app.mailer.taken
    assert mail["X-Easeback-Kind"] == "weekly"
    assert "11.5" in str(mail.get_body(("plain",)))


def test_a_restart_and_a_clock_that_jumps_tell_nothing_twice(app: App) -> None:
    """Three hours back and forth around the hour."""
    app.now = at(MONDAY)
    app.athlete()
    for hour in (6, 3, 9, 6, 5, 7):
        app.now = at(MONDAY, hour)
        app.pass_on()
    assert app.mailer.kinds() == ["weekly"]


def test_after_three_days_down_it_comes_at_once(app: App) -> None:
    """The next one comes at its hour again."""
    app.now = at(MONDAY)
    app.athlete()
    queued = list(tick(app, at(MONDAY + 3 * DAY, 15), at(MONDAY + 9 * DAY), 3 * HOUR))
    assert queued == [at(MONDAY + 3 * DAY, 15), at(MONDAY + WEEK, 6)]


def test_after_weeks_down_the_latest_is_told_and_the_rest_are_skipped(app: App) -> None:
    """Nobody wants four summaries on one morning."""
    app.now = at(MONDAY)
    app.athlete()
    app.now = at(MONDAY, 7)
    app.pass_on()
    app.now = at(MONDAY + 4 * WEEK + DAY)
    app.pass_on()
    assert app.mailer.kinds() == ["weekly", "weekly"]
    assert [state for _, state in told(app)] == [
        "queued", "skipped", "skipped", "skipped", "queued",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sunday", "due"),
    [
        pytest.param(date(2026, 3, 29), at(date(2026, 3, 29), 1, 30), id="the hour is skipped"),
        pytest.param(date(2026, 10, 25), at(date(2026, 10, 25), 0, 30), id="the hour comes twice"),
    ],
)
def test_the_night_the_clock_changes_has_one_hour_due(
    app: App, sunday: date, due: datetime
) -> None:
    """02:30 in Berlin: later by the clock's jump, or the first of two."""
    app.now = at(sunday - 2 * DAY)
    app.athlete(weekly=WeeklyHour(6, time(2, 30)), added_at=at(sunday - 99 * DAY))
    queued = list(tick(app, at(sunday - DAY, 20), at(sunday, 12), HOUR / 6))
    assert queued == [due]


def moved(app: App, athlete: Athlete, **changes: object) -> Athlete:
    """The athlete with changed settings, stored now."""
    after = replace(athlete, **changes)  # type: ignore[arg-type]  # what a test names
    with app.services.store.transaction() as tx:
        tx.athletes.change(after, now=app.now)
    return after


@pytest.mark.parametrize(
    ("home", "away", "flies_at"),
    [
        pytest.param("America/Los_Angeles", "Pacific/Auckland", at(MONDAY, 3), id="east, past it"),
        pytest.param("Pacific/Auckland", "America/Los_Angeles", at(MONDAY, 3), id="west, after it"),
        pytest.param("Europe/Berlin", "America/New_York", at(MONDAY, 5), id="west, before it"),
        pytest.param("Europe/Berlin", "Asia/Tokyo", at(MONDAY - DAY, 12), id="east, before it"),
    ],
)
def test_an_athlete_who_travels_is_told_each_week_once(
    app: App, home: str, away: str, flies_at: datetime
) -> None:
    """No week is lost if the hour has already passed, and none is mailed twice."""
    app.now = at(MONDAY - 5 * DAY)
    anna = app.athlete(timezone=home, added_at=app.now)
    list(tick(app, at(MONDAY - DAY), flies_at, 2 * HOUR))
    app.now = flies_at
    moved(app, anna, timezone=away)
    list(tick(app, flies_at, at(MONDAY + 8 * DAY), 4 * HOUR))
    assert told(app) == [(MONDAY - WEEK, "queued"), (MONDAY, "queued")]


def test_a_change_of_settings_while_a_mail_is_due_loses_it_not(app: App) -> None:
    """The worker was down at seven, and the pain areas were changed at eight."""
    app.now = at(MONDAY)
    anna = app.athlete()
    app.now = at(MONDAY, 8)
    moved(app, anna, pain=("knee",))
    app.pass_on()
    assert app.mailer.kinds() == ["weekly"]


def test_a_week_that_starts_on_another_day_from_now_on_is_not_told_twice(app: App) -> None:
    """Monday's week was mailed; Sunday's is almost the same."""
    app.now = at(MONDAY)
    anna = app.athlete()
    app.now = at(MONDAY, 8)
    app.pass_on()
    app.now = at(MONDAY + 2 * DAY)
    moved(app, anna, week_starts=6)
    list(tick(app, app.now, at(MONDAY + 8 * DAY), 6 * HOUR))
    assert told(app) == [(MONDAY - WEEK, "queued"), (MONDAY - DAY, "queued")]


def test_weeks_that_ended_before_the_athlete_was_added_are_not_told(app: App) -> None:
    """Added on Monday at six: the first mail comes next Monday."""
    app.now = at(MONDAY)
    app.athlete("Monday", added_at=at(MONDAY, 5))
    app.athlete("Sunday", added_at=at(MONDAY - DAY, 20))
    app.now = at(MONDAY, 12)
    app.pass_on()
    assert [mail["To"] for mail in app.mailer.taken] == ["sunday@example.org"]
    app.now = at(MONDAY + WEEK, 12)
    app.pass_on()
    assert len(app.mailer.taken) == 3


def test_weeks_from_sunday_are_told_on_monday_too(app: App) -> None:
    """Sunday to Saturday; the mail's hour doesn't depend on the week."""
    app.now = at(MONDAY)
    anna = app.athlete(week_starts=6)
    app.runs(anna, [recording(MONDAY + back * DAY, km)
                      for back, km in ((-9, 20.0), (-8, 5.0), (-2, 6.5), (-1, 30.0))])  # fmt: skip
    app.now = at(MONDAY, 12)
    app.pass_on()
    assert told(app) == [(MONDAY - 8 * DAY, "queued")]
    assert "11.5" in str(app.mailer.taken[0].get_body(("plain",)))


def test_who_wants_no_weekly_mail_gets_none_and_no_old_one_later(app: App) -> None:
    """The weeks are marked as skipped."""
    app.now = at(MONDAY)
    anna = app.athlete(wants=frozenset({"alert"}))
    app.now = at(MONDAY, 12)
    app.pass_on()
    moved(app, anna, wants=frozenset({"alert", "weekly"}))
    app.pass_on()
    assert app.mailer.taken == []
    assert told(app) == [(MONDAY - WEEK, "skipped")]


class Unlucky(Composer):
    """A composer that fails for Anna."""

    def weekly(self, facts: WeeklyFacts) -> Email:
        if facts.athlete.name == "Anna":
            raise RuntimeError("out of paper")
        return super().weekly(facts)


def test_a_surprise_over_one_athlete_stops_no_other(app: App) -> None:
    """Ben gets his mail, queued mails are sent, and Anna's is tried again."""
    app.now = at(MONDAY)
    for name in ("Anna", "Ben"):
        app.athlete(name)
    app.now = at(MONDAY, 7)
    unlucky = App(replace(app.services, composer=Unlucky()), app.mailer, app.now)
    with pytest.raises(RuntimeError, match="out of paper"):
        unlucky.pass_on()
    assert [mail["To"] for mail in app.mailer.taken] == ["ben@example.org"]
    app.pass_on()
    assert [mail["To"] for mail in app.mailer.taken] == ["ben@example.org", "anna@example.org"]


RACE = Race("Spring", MONDAY + 15 * WEEK - DAY, 42_200)


def week(monday: date, *kms: float) -> list[Recording]:
    """A week's runs on Tuesday, Thursday, Saturday and Sunday; 0 is none."""
    return [
        recording(monday + place * DAY, km)
        for place, km in zip((1, 3, 5, 6), kms, strict=True)
        if km
    ]


@pytest.mark.parametrize(
    ("bent", "told_of"),
    [
        ("as planned", ""),
        ("missed", "as last week had 0.0 km of"),
        ("shorter", "as last week's longest run was 9.0 km of 15.4 km planned."),
        ("pain", "as you said that it hurts or is sore."),
        ("finding", "as last week had a jump."),
        ("moved", "our race moved from 28 Feb to 21 Mar"),
    ],
)
def test_next_mondays_plan_takes_up_what_happened_and_says_so_in_one_line(
    app: App, bent: str, told_of: str
) -> None:
    """A missed week, a shorter run, pain, a finding, another date: what changed, and why."""
    app.at(MONDAY, 5)
    anna = app.athlete(race=RACE)
    before = (week(MONDAY - back * WEEK, 6, 8, 6, 14) for back in range(16, 1, -1))
    easy = week(MONDAY - WEEK, 5, 5, 5, 10)  # so that the next ones aren't
    app.arrive(anna, *chain.from_iterable(before), *easy)
    app.at(MONDAY, 12).pass_on()
    ran = {"missed": (0, 0, 0, 0), "shorter": (8, 8.5, 8.3, 9), "finding": (6.2, 6.2, 6.2, 25)}
    app.at(MONDAY + 6 * DAY, 20)
    app.arrive(anna, *week(MONDAY, *ran.get(bent, (6.2, 6.2, 6.2, 15.4))))
    with app.services.store.transaction() as tx:
        if bent == "pain":
            tx.checkins.save(anna, CheckIn(MONDAY + 6 * DAY, "hurts"), now=app.now)
        if bent == "moved":
            later = replace(RACE, day=RACE.day + 3 * WEEK)
            tx.athletes.change(replace(anna, race=later), now=app.now)
    app.at(MONDAY + WEEK, 12).pass_on()
    mail = next(one for one in app.mailer.taken[::-1] if one["X-Easeback-Kind"] == "weekly")
    said = " ".join(str(mail.get_body(("plain",)).get_content()).split())  # type: ignore[union-attr]
    lines = ("planned for this week", "Planned for this week", "this week stays as it was")
    assert any(line in said for line in lines) == bool(told_of), said
    assert told_of in said


def test_queueing_one_takes_one_commit_and_few_statements(app: App) -> None:
    """However many weeks of runs there are."""
    anna = app.athlete()
    app.runs(anna, steady())
    now = app.now + WEEK
    with counted(app.services.store) as asked:
        queue_weekly(app.services, anna, now)
    assert len(app.unsent()) == 1
    assert asked["commits"] == 1
    assert asked["statements"] <= 11
