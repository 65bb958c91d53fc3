"""Facts of a made-up runner to compose mails from.

An easy winter, a break over Christmas, a ramp from the end of January, a half marathon in May, pain
in the buttock; on Saturday 21 February 2026 a run of 14.2 km after a longest run of 8.9 km.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from worker.domain.checkins import CheckIn
from worker.domain.history import History
from worker.domain.models import Athlete, Finding, Plan, Race, Run, Season, Signal, Verdict, Week
from worker.domain.planner import plan, recovery
from worker.domain.practice import Therapist
from worker.domain.routine import Step, parse_routines, prescribe
from worker.domain.rules import Rules
from worker.notify import (
    AddressFacts,
    AlertCopyFacts,
    AlertFacts,
    Noticed,
    NoticeFacts,
    ReconnectFacts,
    RedFlagFacts,
    WeeklyFacts,
    WelcomeFacts,
)

DAY = date(2026, 2, 21)
NOW = datetime(2026, 2, 21, 15, 30, tzinfo=UTC)
MONDAY = date(2025, 11, 24)
RACE = Race("Spring Half Marathon", date(2026, 5, 10), 21_097.5)
FRANDSEN = "Frandsen et al. 2025, Br J Sports Med 59:1203"

# For each week from MONDAY: weekday (Monday is 0) and kilometres.
KILOMETRES: tuple[tuple[tuple[int, float], ...], ...] = (
    ((1, 6.0), (5, 7.2)),
    ((2, 5.5),),
    ((1, 5.1), (6, 6.4)),
    ((5, 4.8),),
    (),
    (),
    ((1, 4.0), (5, 5.0)),
    ((2, 5.2),),
    ((1, 5.0), (5, 6.1)),
    ((1, 5.4), (4, 6.0), (6, 7.0)),
    ((1, 6.2), (3, 6.0), (6, 8.1)),
    ((1, 6.5), (3, 7.1), (6, 8.9)),
    ((0, 6.8), (2, 7.4), (5, 14.2)),
)


def athlete(**changes: Any) -> Athlete:
    """The runner; `changes` replace fields."""
    runner = Athlete(
        id=7,
        name="Ada Lindqvist",
        email="ada@example.org",
        added_at=datetime(2025, 10, 1, tzinfo=UTC),
        timezone="Europe/Berlin",
        pain=("buttock",),
        race=RACE,
    )
    return replace(runner, **changes)


def runs(weeks: Sequence[Sequence[tuple[int, float]]] = KILOMETRES) -> tuple[Run, ...]:
    """The runs of these weeks, each in the morning at six minutes per kilometre."""
    made: list[Run] = []
    for number, week in enumerate(weeks):
        for weekday, km in week:
            day = MONDAY + timedelta(weeks=number, days=weekday)
            started_at = datetime(day.year, day.month, day.day, 7, 30, tzinfo=UTC)
            made.append(Run(len(made) + 1, started_at, day, km * 1000, km * 360, km * 372))
    return tuple(made)


def calendar_weeks(of: Sequence[Run], *, count: int = 13) -> tuple[Week, ...]:
    """The runs summed up by calendar weeks from MONDAY on."""
    weeks = []
    for number in range(count):
        starts_on = MONDAY + timedelta(weeks=number)
        inside = [run for run in of if 0 <= (run.day - starts_on).days < 7]
        metres = [run.distance_m for run in inside]
        moving_s = sum(run.moving_s or 0 for run in inside)
        weeks.append(Week(starts_on, sum(metres), len(metres), max(metres, default=0), moving_s))
    return tuple(weeks)


def steps(pain: Sequence[str] = ("buttock",), *, severity: int = 2) -> tuple[Step, ...]:
    """The shipped routine for this pain."""
    path = Path(__file__).parent.parent / "config" / "routine.example.toml"
    return prescribe(
        parse_routines(path.read_text("utf-8"), name="routine.toml"), pain=pain, severity=severity
    )


def season() -> Season:
    """An easy season, and both ramps."""
    return Season(
        easiest_on=date(2026, 1, 12),
        easiest_m=14_200,
        usual_m=98_000,
        this_ramp_m=(5_200, 11_100, 18_400, 20_300, 22_500, 28_400),
        last_ramp_m=(8_100, 12_400, 16_000, 21_500, 31_900, 38_200, 24_000, 11_300),
    )


def finding(kind: str = "run", **changes: Any) -> Finding:
    """The finding on Saturday 21 February."""
    by_kind = {
        "run": Finding(DAY, "run", 27, 2, 14_200, 8_900, retraining=True),
        "return": Finding(DAY, "return", 27, 2, 8_600, 4_750, retraining=True),
        "ramp": Finding(DAY, "ramp", 27, 2, 37_300, 21_700),
        "month": Finding(DAY, "month", 27, 2, 96_100, 54_200),
    }
    return replace(by_kind[kind], **changes)


def alert_facts(kind: str = "run", *, runner: Athlete | None = None, **changes: Any) -> AlertFacts:
    """The alert about that Saturday; `changes` replace fields of the facts."""
    runner = runner or athlete()
    found = finding(kind)
    all_runs = runs() if kind != "return" else _returning()
    signal = Signal(
        "run", 14_200, 8_900, 9_790, fired=kind == "run", severity=2, held_by=None,
        against=date(2026, 2, 15), source=FRANDSEN,
    )  # fmt: skip
    others = (finding("ramp"),) if kind == "run" else ()
    facts = AlertFacts(
        athlete=runner,
        finding=found,
        verdict=Verdict(DAY, (signal,), (found, *others), season() if kind == "run" else None),
        runs=all_runs,
        steps=steps(runner.pain),
        recovery=recovery(History.of(all_runs, rules=Rules()), DAY, rules=Rules()),
        rules=Rules(),
        now=NOW,
    )
    return replace(facts, **changes)


def weekly_facts(*, runner: Athlete | None = None, **changes: Any) -> WeeklyFacts:
    """The summary of the week before that Saturday, due on Monday 16 February."""
    runner = runner or athlete()
    weeks = calendar_weeks(runs(), count=12)
    facts = WeeklyFacts(
        athlete=runner,
        weeks=weeks,
        findings=(),
        steps=steps(runner.pain, severity=1),
        plan=coming(date(2026, 2, 16)),
        rules=Rules(),
        now=datetime(2026, 2, 16, 6, 0, tzinfo=UTC),
    )
    return replace(facts, **changes)


def week_after_the_jump(*, runner: Athlete | None = None) -> WeeklyFacts:
    """The summary of the week of that Saturday, with its finding."""
    weeks = calendar_weeks(runs())
    return weekly_facts(
        runner=runner,
        weeks=weeks,
        findings=(Noticed(finding(), mailed=True),),
        plan=coming(date(2026, 2, 23), findings=(finding(),)),
        now=datetime(2026, 2, 23, 6, 0, tzinfo=UTC),
    )


def hurting() -> tuple[CheckIn, ...]:
    """A diary that calls for a clinician: pain on two days."""
    return (
        CheckIn(date(2026, 2, 13), "hurts", ("buttock",), 4),
        CheckIn(date(2026, 2, 15), "hurts", ("buttock",), 6),
    )


def quiet_week(*, runner: Athlete | None = None) -> WeeklyFacts:
    """The summary of the second week without runs, over Christmas."""
    weeks = calendar_weeks(runs(), count=6)
    return weekly_facts(
        runner=runner,
        weeks=weeks,
        plan=coming(date(2026, 1, 5)),
        now=datetime(2026, 1, 5, 6, 0, tzinfo=UTC),
    )


def first_week(*, runner: Athlete | None = None) -> WeeklyFacts:
    """The summary of the first week, with nothing to compare it with."""
    weeks = calendar_weeks(runs(), count=1)
    return weekly_facts(
        runner=runner,
        weeks=weeks,
        plan=coming(date(2025, 12, 1)),
        too_little="42 days of runs are needed, there are 7",
        now=datetime(2025, 12, 1, 6, 0, tzinfo=UTC),
    )


def reconnect_facts(*, runner: Athlete | None = None, source: str = "strava") -> ReconnectFacts:
    """A source no longer accepts the login."""
    return ReconnectFacts(
        runner or athlete(), source, source.capitalize(), NOW, by_key=source == "garmin",
        key_menu="Settings, Personal API" if source == "garmin" else "",
    )  # fmt: skip


def red_flag_facts(*flags: str, runner: Athlete | None = None) -> RedFlagFacts:
    """An athlete ticked warning signs."""
    who = runner or athlete()
    return RedFlagFacts("therapist@example.org", who, flags or ("no_weight", "fever"), NOW)


def alert_copy_facts(
    *, runner: Athlete | None = None, diary: Sequence[CheckIn] = ()
) -> AlertCopyFacts:
    """The alert copy about the run of 14.2 km for a therapist of the runner's practice."""
    therapist = Therapist(1, "T. Herapist", "therapist@example.org", NOW)
    return AlertCopyFacts(therapist, runner or athlete(), finding(), Rules(), NOW, diary)


def address_facts() -> AddressFacts:
    """The athlete asked for mails at another address."""
    return AddressFacts(athlete(), "mira.new@example.org", "a made code", NOW)


def welcome_facts(runner: Athlete | None = None) -> WelcomeFacts:
    """A new athlete."""
    return WelcomeFacts(runner or athlete(), Rules(), NOW)


def notice_facts() -> NoticeFacts:
    """The mail server refuses the login."""
    return NoticeFacts(
        "operator@example.org",
        "The mail server mail.example.org refuses the login.",
        ("Mend [mail] username and password; what waits is sent then.",),
    )


def coming(
    day: date, *, findings: Sequence[Finding] = (), checkins: Sequence[CheckIn] = ()
) -> Plan:
    """The plan of that day, up to the half marathon."""
    return plan(
        History.of(runs(), rules=Rules()),
        day,
        race=RACE,
        findings=findings,
        checkins=checkins,
        rules=Rules(),
    )


def _returning() -> tuple[Run, ...]:
    """Three weeks off in January, then a long run soon after."""
    weeks = (*KILOMETRES[:4], ((1, 8.2), (5, 9.5)), ((2, 7.0), (6, 6.5)), ((1, 6.1),))
    return runs((*weeks, (), (), ((6, 3.1),), ((2, 4.0), (6, 4.3)), ((3, 4.1),), ((5, 8.6),)))
