"""A clock that is wrong for a while expires no mail and sends no weekly mail early."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from tests.app import App, ScriptedMailer, refused
from tests.command import easeback
from worker.domain.models import WeeklyHour
from worker.health import BOOT_TICK, CLOCK_TICK
from worker.jobs.leaps import (
    STANDS_AT_START_FOR_S,
    STANDS_FOR_S,
    LeapGuard,
    boot_name,
    leap_between_passes,
)
from worker.store import Store

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SUNDAY = datetime(2026, 11, 22, 11, tzinfo=UTC)


class Machine:
    """A machine whose wall clock can be set, and whose monotonic clock can't."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.counted_s = 1000.0

    def passes(self, seconds: float) -> datetime:
        self.counted_s += seconds
        self.now += timedelta(seconds=seconds)
        return self.now

    def leaps(self, by: timedelta) -> datetime:
        self.now += by
        return self.now

    def guard(self, last: datetime | None = None) -> LeapGuard:
        return LeapGuard(self.now, last=last, steady=lambda: self.counted_s)


@pytest.mark.parametrize("by", [8 * DAY, -8 * DAY, 2 * HOUR, 20 * 365 * DAY])
def test_a_leap_is_doubted_until_it_has_stood(by: timedelta) -> None:
    """It's reported meanwhile; ordinary passing of time isn't a leap."""
    machine = Machine(SUNDAY)
    guard = machine.guard()
    assert not guard.doubts(machine.passes(3600))
    assert guard.doubts(machine.leaps(by))
    assert "the clock leapt from 2026-11-22 12:00 to " in str(guard.trouble)
    assert guard.doubts(machine.passes(STANDS_FOR_S - 1))
    assert not guard.doubts(machine.passes(1))
    assert guard.trouble is None


def test_a_leap_that_is_taken_back_leaves_nothing() -> None:
    """45 s into the future and back: the first time was right."""
    machine = Machine(SUNDAY)
    guard = machine.guard()
    assert guard.doubts(machine.leaps(8 * DAY))
    assert guard.doubts(machine.passes(45))
    assert not guard.doubts(machine.leaps(-8 * DAY))
    assert guard.trouble is None


def test_each_new_leap_has_to_stand_anew() -> None:
    """A clock that keeps leaping isn't trusted at all."""
    machine = Machine(SUNDAY)
    guard = machine.guard()
    for _ in range(5):
        assert guard.doubts(machine.leaps(DAY))
        assert guard.doubts(machine.passes(STANDS_FOR_S - 1))


def test_a_clock_that_is_kept_in_time_is_trusted() -> None:
    """Corrections of seconds a day, in either direction."""
    machine = Machine(SUNDAY)
    guard = machine.guard()
    for seconds in (-40, 40, 20, -59):
        assert not guard.doubts(machine.leaps(timedelta(seconds=seconds)))
        assert not guard.doubts(machine.passes(3600))


def test_a_start_long_after_the_last_worker_is_sure_only_a_little_later() -> None:
    """A week of downtime, or a clock a week ahead: it can't be known yet."""
    machine = Machine(SUNDAY)
    guard = machine.guard(last=SUNDAY - 7 * DAY)
    assert guard.doubts(machine.now)
    assert guard.trouble is None
    assert guard.doubts(machine.passes(STANDS_AT_START_FOR_S - 1))
    assert not guard.doubts(machine.passes(1))


def test_a_start_before_the_last_workers_time_is_a_leap() -> None:
    """One of the two clocks was wrong."""
    machine = Machine(SUNDAY)
    guard = machine.guard(last=SUNDAY + 60 * DAY)
    assert guard.doubts(machine.now)
    assert guard.trouble is not None
    assert not guard.doubts(machine.passes(STANDS_FOR_S))


@pytest.mark.parametrize("last", [None, SUNDAY, SUNDAY - HOUR])
def test_a_restart_is_sure_at_once(last: datetime | None) -> None:
    """And so is the very first start."""
    assert not Machine(SUNDAY).guard(last).doubts(SUNDAY)


# Single passes


@dataclass
class Passes:
    """Passes by cron on one machine, which may be rebooted."""

    app: App
    machine: Machine
    boot: str | None = f"{BOOT_TICK} 1"

    def look(self) -> str | None:
        """What the next pass reports about its clock."""
        with self.app.services.store.transaction() as tx:
            return leap_between_passes(
                tx, self.machine.now, boot=self.boot, counted_s=self.machine.counted_s
            )

    def boots(self, *, off: timedelta) -> None:
        self.machine.now += off
        self.machine.counted_s, self.boot = 60.0, f"{BOOT_TICK} 2"


@pytest.fixture
def passes(app: App) -> Passes:
    return Passes(app, Machine(SUNDAY))


@pytest.mark.parametrize("by", [8 * DAY, -8 * DAY, 2 * HOUR, 20 * 365 * DAY])
def test_a_pass_doubts_a_clock_that_leapt_since_the_one_before(
    passes: Passes, by: timedelta
) -> None:
    """Until it has been stable; and again when it's corrected."""
    assert passes.look() is None
    passes.machine.passes(600)
    assert passes.look() is None
    for leap in (by, -by):
        passes.machine.leaps(leap)
        assert "the clock leapt from 2026-11-22 " in str(passes.look()) or leap == -by
        passes.machine.passes(STANDS_FOR_S - 1)
        assert "the clock leapt" in str(passes.look())
        passes.machine.passes(1)
        assert passes.look() is None


def test_passes_days_apart_on_a_machine_that_stays_up_doubt_nothing(passes: Passes) -> None:
    """The monotonic clock confirms that time has passed; small corrections aren't leaps."""
    for days in (1, 30, 400):
        passes.machine.passes(days * 86_400)
        passes.machine.leaps(timedelta(seconds=40))
        assert passes.look() is None


def test_a_pass_after_the_machine_was_off_believes_any_later_time(passes: Passes) -> None:
    """No clock was counting meanwhile; an earlier time is a leap, once."""
    passes.look()
    passes.boots(off=7 * DAY)
    assert passes.look() is None
    passes.boots(off=-3 * DAY)
    passes.boot = f"{BOOT_TICK} 3"
    assert "the clock leapt" in str(passes.look())
    passes.machine.passes(600)
    assert passes.look() is None


def test_where_boots_cant_be_told_apart_only_an_earlier_time_is_a_leap(passes: Passes) -> None:
    """It's over once the clock has been stable."""
    passes.boot = None
    passes.look()
    passes.machine.leaps(8 * DAY)
    assert passes.look() is None
    passes.machine.leaps(-8 * DAY)
    assert passes.look() is not None
    passes.machine.passes(STANDS_FOR_S)
    assert passes.look() is None


@pytest.mark.skipif(boot_name() is None, reason="the system doesn't tell boots apart")
def test_once_says_that_the_clock_leapt_and_tells_no_week(tmp_path: Path) -> None:
    """`status` says so too; a time given by --as-of isn't a leap."""
    add = ("athlete", "add", "--name", "Anna", "--email", "anna@example.org")
    env = {"EASEBACK_DATA_DIR": str(tmp_path / "data")}
    easeback(*add, "--timezone", "UTC", cwd=tmp_path, env=env)
    assert easeback("once", cwd=tmp_path, env=env).returncode == 0
    store = Store.open(f"sqlite:///{tmp_path / 'data' / 'easeback.db'}")
    with store.transaction() as tx:
        (anna,) = tx.athletes.all()
        tx.athletes.weekly_done(anna, next_at=datetime.now(UTC) - DAY)
        for name in (str(boot_name()), CLOCK_TICK):
            tick = tx.progress.tick(name)
            assert tick is not None
            tx.progress.ticked(name, at=tick.at - 8 * DAY)
    for command in ("once", "status"):
        done = easeback(command, cwd=tmp_path, env=env)
        assert done.returncode == 1
        assert "the clock leapt from" in done.stderr
        assert str(boot_name()) not in done.stdout
    with store.reading() as tx:
        assert tx.outbox.all() == ()
    assert easeback("once", "--as-of", "2027-01-01", cwd=tmp_path, env=env).returncode == 0
    store.close()


# What it prevents


@pytest.fixture
def guarded(app: App) -> Callable[[timedelta], App]:
    """The services on a machine whose clock leaps by a given time."""
    app.now = SUNDAY
    machine = Machine(SUNDAY)
    app.services = replace(app.services, doubts=machine.guard().doubts)

    def leap(by: timedelta) -> App:
        app.now = machine.leaps(by)
        return app

    return leap


def test_a_clock_ahead_for_a_while_ends_no_mail(
    app: App, guarded: Callable[[timedelta], App]
) -> None:
    """Eight days ahead mails are past their expiry; with the clock corrected they're sent."""
    anna = app.athlete(weekly=WeeklyHour(0, time(7)))
    app.runs(anna, [])
    app.mailer.answers = [refused()]
    with app.services.store.transaction() as tx:
        tx.athletes.weekly_done(anna, next_at=app.now)
    app.pass_on()
    assert [mail.state for mail in app.unsent()] == ["retry"]
    guarded(8 * DAY).pass_on()
    assert [mail.state for mail in app.unsent()] == ["retry"]
    guarded(-8 * DAY + timedelta(minutes=2)).pass_on()
    assert app.mailer.kinds() == ["weekly"]


def test_a_mail_that_is_refused_while_the_clock_is_ahead_is_tried_soon_after(
    app: App, guarded: Callable[[timedelta], App]
) -> None:
    """It was being sent when the clock leapt; neither its end nor its next try is in the future."""
    anna = app.athlete(weekly=WeeklyHour(0, time(7)))
    with app.services.store.transaction() as tx:
        tx.athletes.weekly_done(anna, next_at=app.now)

    class Leaping(ScriptedMailer):
        def send(self, *_: object, **__: object) -> None:
            guarded(8 * DAY)
            raise refused()

    well = app.services
    app.services = replace(well, mailer=Leaping())
    app.pass_on()
    assert [mail.state for mail in app.unsent()] == ["retry"]
    app.services = well
    guarded(-8 * DAY).pass_on()
    assert app.mailer.kinds() == ["weekly"]


def test_a_clock_ahead_for_a_while_tells_no_week(
    app: App, guarded: Callable[[timedelta], App]
) -> None:
    """The unfinished week is mailed when it's over."""
    app.athlete(timezone="UTC", weekly=WeeklyHour(0, time(7)))
    guarded(8 * DAY).pass_on()
    assert app.mailer.kinds() == []
    guarded(-8 * DAY).pass_on()
    app.services = replace(app.services, doubts=lambda _: False)
    app.now = SUNDAY + DAY
    app.pass_on()
    assert app.mailer.kinds() == ["weekly"]


@pytest.mark.parametrize("ahead", [20 * HOUR, 3 * DAY, 8 * DAY])
@pytest.mark.parametrize("is_sent", [True, False])
def test_a_week_that_was_told_before_its_end_is_told_again(
    app: App, ahead: timedelta, is_sent: bool
) -> None:
    """By a clock that was ahead for longer than a leap is doubted; if unsent, it isn't repeated."""
    app.now = SUNDAY - 7 * DAY
    app.athlete(timezone="UTC", weekly=WeeklyHour(0, time(7)))
    app.now = SUNDAY - 6 * DAY
    app.pass_on()
    app.mailer.taken.clear()
    app.now = SUNDAY + ahead
    app.mailer.answers = [] if is_sent else [refused()]
    app.pass_on()
    early = ["weekly"] if is_sent else []
    assert app.mailer.kinds() == early
    app.now = SUNDAY + timedelta(minutes=10)
    app.pass_on()
    assert app.mailer.kinds() == early
    for hours in range(24, 24 * 9, 3):
        app.now = SUNDAY + hours * HOUR
        app.pass_on()
    assert app.mailer.kinds() == [*early, "weekly", "weekly"], "this week and the one after it"
