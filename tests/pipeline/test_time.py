"""Time: the weekly hour in every zone, clock changes, and a worker that continues through them.

The nightly form covers all IANA zones and sixteen years.
"""

import random
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from time import process_time
from zoneinfo import available_timezones

import pytest
import time_machine
from sqlalchemy import update

from tests.app import App, ScriptedMailer
from tests.pipeline.weekly_hours import missteps, odd_days
from worker.cli.context import clock_as_of
from worker.domain.models import WeeklyHour
from worker.jobs.embedded import EmbeddedWorker
from worker.jobs.registry import Job
from worker.jobs.rhythm import Rhythm
from worker.jobs.ticks import FIRST_RELEASE
from worker.pipeline.services import Services
from worker.pipeline.weekly import queue_due_weeklies
from worker.store import tables

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MONDAY = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Africa/Casablanca",
    "Africa/Cairo", "America/Asuncion", "America/Nuuk", "Asia/Gaza", "Antarctica/Troll",
)  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
def test_each_week_has_one_due_instant_in_every_zone(zone: str) -> None:
    """Three years, at hours that clocks skip or repeat, with weeks from Monday or Sunday."""
    assert list(missteps(zone, since=2024, until=2027)) == []


@pytest.mark.parametrize("zone", ZONES)
def test_each_run_around_a_change_of_the_clock_is_on_one_day_of_one_week(zone: str) -> None:
    """In the hour that comes twice and beside the one that is missing; none is in the future."""
    assert list(odd_days(zone, since=2005, until=2027)) == []


@pytest.mark.nightly
@pytest.mark.parametrize("zone", sorted(available_timezones() - {"localtime", "Factory"}))
def test_sixteen_years_of_weeks_have_one_due_instant_each(zone: str) -> None:
    """The same for every zone, and for the days."""
    assert list(missteps(zone, since=2022, until=2038)) == []
    assert list(odd_days(zone, since=2005, until=2038)) == []


def weeks_mailed(app: App) -> list[str]:
    """The weeks of the mails in the outbox, in order."""
    with app.services.store.reading() as tx:
        return [letter.key for letter in tx.outbox.all() if letter.kind == "weekly"]


@pytest.mark.parametrize("seed", range(4))
def test_a_clock_that_is_set_back_and_forth_tells_each_week_once(app: App, seed: int) -> None:
    """Up to three hours off at each look, sometimes three days of downtime, for five weeks."""
    dice = random.Random(seed)  # noqa: S311  no secret
    app.now = MONDAY - 2 * DAY
    app.athlete(timezone=dice.choice(ZONES), weekly=WeeklyHour(0, time(7)))
    true = app.now
    while true < MONDAY + 35 * DAY:
        queue_due_weeklies(app.services, true + HOUR * dice.uniform(-3, 3))
        true += 3 * DAY if dice.random() < 0.05 else HOUR * dice.uniform(0.1, 9)
    mailed = weeks_mailed(app)
    assert len(mailed) == len(set(mailed))
    with app.services.store.reading() as tx:
        rows = tx.connection.exec_driver_sql("SELECT week_starts_on FROM weekly").scalars().all()
    days = sorted(datetime.fromisoformat(str(row)) for row in rows)
    assert {after - before for before, after in pairwise(days)} <= {7 * DAY}
    assert len(days) >= 5


def test_a_clock_that_was_a_year_ahead_costs_no_later_week(app: App) -> None:
    """Once it's set right, every week is mailed as usual."""
    app.now = MONDAY - HOUR
    app.athlete(timezone="UTC", weekly=WeeklyHour(0, time(7)))
    app.now = MONDAY
    queue_due_weeklies(app.services, MONDAY)
    queue_due_weeklies(app.services, MONDAY + 370 * DAY)
    for week in range(4):
        app.now = MONDAY + week * 7 * DAY
        app.pass_on()
    told = [datetime.fromisoformat(key.split(":")[2]) for key in weeks_mailed(app)]
    assert sorted(told)[:4] == [datetime(2026, 11, 16) + n * 7 * DAY for n in range(4)]  # noqa: DTZ001  days


def test_mail_put_off_by_a_clock_that_was_ahead_goes_out_when_it_is_right(app: App) -> None:
    """It waits for hours at most, not for a year."""
    app.now = MONDAY - HOUR
    app.athlete(timezone="UTC", weekly=WeeklyHour(0, time(7)))
    app.now = MONDAY
    queue_due_weeklies(app.services, app.now)
    with app.services.store.transaction() as tx:
        tx.connection.execute(update(tables.outbox).values(due_at=MONDAY + 365 * DAY))
    app.pass_on()
    assert app.mailer.kinds() == ["weekly"]


def test_a_worker_goes_on_when_the_clock_is_set_back(services: Services) -> None:
    """The scheduler counts by the machine's clock and would sleep for three hours."""
    ticked = threading.Event()
    worker = EmbeddedWorker(services, clock_as_of(None))
    job = Job("check", Rhythm(timedelta(seconds=0.2)), lambda *_: ticked.set())
    thread = threading.Thread(target=worker.run, args=([job],))
    thread.start()
    try:
        assert ticked.wait(10)
        with time_machine.travel(datetime.now(UTC) - 3 * HOUR, tick=True):
            threading.Event().wait(0.5)
            ticked.clear()
            assert ticked.wait(10)
    finally:
        worker.stop()
        thread.join(10)


def test_a_worker_goes_on_at_once_when_the_clock_leaps_forward(services: Services) -> None:
    """Two months: millions of missed ticks become one, without extra work."""
    ticked = threading.Event()
    worker = EmbeddedWorker(services, clock_as_of(None))
    job = Job("check", Rhythm(timedelta(seconds=0.5)), lambda *_: ticked.set())
    thread = threading.Thread(target=worker.run, args=([job],))
    thread.start()
    try:
        assert ticked.wait(10)
        with time_machine.travel(datetime.now(UTC) + 60 * DAY, tick=True):
            begun_s = process_time()
            threading.Event().wait(1)
            ticked.clear()
            assert ticked.wait(5)
            assert process_time() - begun_s < 3
    finally:
        worker.stop()
        thread.join(10)


def test_before_its_release_the_worker_waits_for_the_clock(services: Services) -> None:
    """A machine that wakes in 1970 does nothing, and reports that."""
    done = threading.Event()
    worker = EmbeddedWorker(
        services, lambda: datetime(1970, 1, 1, tzinfo=UTC), not_before=FIRST_RELEASE
    )
    job = Job("check", Rhythm(HOUR), lambda *_: done.set())
    thread = threading.Thread(target=worker.run, args=([job],))
    thread.start()
    threading.Event().wait(0.5)
    worker.stop()
    thread.join(10)
    assert not done.is_set()
    with services.store.reading() as tx:
        assert "clock says 1970-01-01" in str(tx.progress.ticks()["check"].trouble)
    assert isinstance(services.mailer, ScriptedMailer)


def weeks_told(app: App) -> list[tuple[date, str]]:
    """Every week that was mailed or skipped."""
    with app.services.store.reading() as tx:
        rows = tx.connection.exec_driver_sql(
            "SELECT week_starts_on, state FROM weekly ORDER BY week_starts_on"
        )
        return [(date.fromisoformat(str(row[0])), row[1]) for row in rows]


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(n, marks=pytest.mark.nightly)
                                               for n in range(4, 150))])  # fmt: skip
def test_who_changes_zone_hour_and_first_weekday_in_mid_week_has_each_week_once(
    app: App, seed: int
) -> None:
    """An almost equal week isn't mailed twice, and none is left out."""
    dice = random.Random(seed)  # noqa: S311  no secret
    app.now = MONDAY - 10 * DAY
    anna = app.athlete(
        added_at=app.now - 30 * DAY,
        timezone=dice.choice(ZONES),
        weekly=WeeklyHour(dice.choice((0, 6)), time(dice.choice((0, 7, 18, 23)))),
        week_starts=dice.choice((0, 6)),
    )
    moves_at = sorted(app.now + DAY * dice.uniform(3, 25) for _ in range(3))
    end = app.now + 42 * DAY
    while app.now < end:
        queue_due_weeklies(app.services, app.now)
        app.now += HOUR * dice.uniform(0.5, 5)
        if moves_at and app.now >= moves_at[0]:
            moves_at.pop(0)
            anna = replace(
                anna,
                timezone=dice.choice(ZONES),
                weekly=WeeklyHour(dice.choice((0, 6)), time(dice.choice((0, 7, 18, 23)))),
                week_starts=dice.choice((0, 6)),
            )
            with app.services.store.transaction() as tx:
                tx.athletes.change(anna, now=app.now)
    told = [day for day, state in weeks_told(app) if state == "queued"]
    apart = [after - before for before, after in pairwise(told)]
    assert min(apart) > 3 * DAY, told
    assert max(apart) < 11 * DAY, told
