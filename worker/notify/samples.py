"""Sample facts, to test templates before a real mail depends on them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

from worker.domain.checkins import CheckIn
from worker.domain.models import (
    Athlete,
    Finding,
    Plan,
    PlannedWeek,
    Race,
    Run,
    Season,
    Signal,
    Verdict,
    Week,
    WeekKind,
)
from worker.domain.plan_change import PlanChange, PlanChangeReason
from worker.domain.planner import Recovery, RecoveryDay
from worker.domain.practice import Therapist
from worker.domain.routine import Step
from worker.domain.rules import Rules
from worker.notify.address import AddressFacts
from worker.notify.alert import AlertFacts
from worker.notify.notices import AlertCopyFacts, NoticeFacts, ReconnectFacts, RedFlagFacts
from worker.notify.weekly import Noticed, Unseen, WeeklyFacts
from worker.notify.welcome import WelcomeFacts

_DAY = date(2026, 2, 21)
_RULES = Rules()
_NOW = datetime(2026, 2, 21, 18, 0, tzinfo=UTC)
_RACE = Race("Spring half marathon", date(2026, 5, 10), 21_097.5)
_ATHLETE = Athlete(
    id=1, name="A. Runner", email="runner@example.org", added_at=_NOW, pain=("buttock",), race=_RACE
)
_STEP = Step(
    key="walk", title="Brisk walk", why="Readies you to run.", how="Walk.", dose="5 minutes",
    when=("before", "after"), not_when="Never after.", video="https://example.org/walk",
    picture="brisk-walk",
)  # fmt: skip

_DIARY = (
    CheckIn(_DAY, "sore", ("buttock",), 3),
    CheckIn(_DAY, "hurts", ("buttock",), 8, ("night_rest",)),
)


def sample_facts(language: str = "") -> Iterator[tuple[str, Any]]:
    """Facts of each kind of mail, with the name of its method of `Composer`."""
    for kind, facts in _facts():
        is_athletes = hasattr(facts, "athlete")
        speaks = replace(_ATHLETE, language=language)
        yield kind, replace(facts, athlete=speaks) if is_athletes else facts


def _facts() -> Iterator[tuple[str, Any]]:
    """Alerts with and without a race and an easy season; a complete week, one without runs, one
    with unseen sources, and a first one; a source to reconnect by consent and by key; a red flag
    and an emergency; a copy of an alert; a new address; a first mail; a notice.
    """
    run = Finding(_DAY, "run", 1, 2, 14_200.0, 8_900.0, retraining=True)
    yield "alert", _alert(run)
    yield "alert", replace(_alert(run), diary=_DIARY)
    yield "alert", _alert(replace(run, race="maybe"))
    yield "alert", _alert(replace(run, race="race", retraining=False))
    yield "alert", _alert(replace(run, kind="return", severity=3, baseline_m=4_000.0))
    yield "alert", _alert(replace(run, kind="ramp", observed_m=41_000.0, baseline_m=28_000.0))
    yield "alert", _alert(replace(run, kind="month", observed_m=160_000.0, baseline_m=90_000.0))
    weeks = _weeks()
    finding = replace(run, retraining=False)
    full = WeeklyFacts(
        athlete=_ATHLETE,
        weeks=weeks,
        findings=(Noticed(finding, mailed=True), Noticed(finding, mailed=False, why_not="old")),
        steps=(_STEP,),
        plan=_plan(),
        rules=_RULES,
        now=_NOW,
        troubles=("A file couldn't be read.",),
        key_ends_on=_DAY + timedelta(days=9),
        diary=_DIARY,
    )
    empty = replace(weeks[-1], distance_m=0.0, runs=0, longest_m=0.0, moving_s=0.0)
    yield "weekly", full
    yield "weekly", replace(full, weeks=(*weeks[:-1], empty), findings=(), troubles=())
    hidden = (Unseen("Strava", _DAY), Unseen(since=_DAY), Unseen(files=2))
    yield "weekly", replace(full, weeks=(*weeks[:-1], empty), findings=(), unseen=hidden)
    yield (
        "weekly",
        replace(full, weeks=weeks[-1:], plan=Plan(_DAY, "unknown"), too_little="five more weeks."),
    )
    for kind in full.plan.weeks:
        yield "weekly", replace(full, plan=replace(full.plan, weeks=(kind,)))
    plan = full.plan
    yield "weekly", replace(full, plan=Plan(plan.day, "tight", plan.weeks))
    yield "weekly", replace(full, plan=Plan(plan.day, "short", plan.weeks, weeks_short=3))
    for why in get_args(PlanChangeReason):
        yield (
            "weekly",
            replace(full, change=PlanChange(26_000.0, 20_000.0, 12_000.0, 24_000.0, why)),
        )
    yield "reconnect", ReconnectFacts(_ATHLETE, "strava", "Strava", _NOW)
    yield (
        "reconnect",
        ReconnectFacts(
            _ATHLETE, "garmin", "Garmin", _NOW, by_key=True, key_menu="Settings, Personal API"
        ),
    )
    for flags in (("fever",), ("saddle_numb", "fever")):
        yield "red_flag", RedFlagFacts("therapist@example.org", _ATHLETE, flags, _NOW)
    copied = AlertCopyFacts(
        Therapist(1, "T. Herapist", "therapist@example.org", _NOW), _ATHLETE, run, _RULES, _NOW
    )
    yield "alert_copy", copied
    yield "alert_copy", replace(copied, diary=_DIARY)
    for mail in ("address", "address_asked"):
        yield mail, AddressFacts(_ATHLETE, "new@example.org", "code", _NOW)
    yield "welcome", WelcomeFacts(_ATHLETE, _RULES, _NOW)
    yield "welcome", WelcomeFacts(replace(_ATHLETE, wants=frozenset()), _RULES, _NOW)
    yield (
        "notice",
        NoticeFacts("operator@example.org", "The mail server refused.", ("Look at it.",)),
    )


def _alert(finding: Finding) -> AlertFacts:
    limit_m = 1.1 * finding.baseline_m
    signal = Signal(
        "run", finding.observed_m, finding.baseline_m, limit_m, fired=True, severity=2,
        held_by=None, against=_DAY, source="Frandsen et al. 2025",
    )  # fmt: skip
    season = Season(_DAY, 12_000.0, 98_000.0, (4_000.0, 9_000.0), (5_000.0, 8_000.0))
    ramp = replace(finding, kind="run" if finding.kind == "ramp" else "ramp")
    findings = (finding, ramp)
    return AlertFacts(
        athlete=_ATHLETE,
        finding=finding,
        verdict=Verdict(_DAY, (signal,), findings, season if finding.retraining else None),
        runs=_runs(),
        steps=(_STEP,),
        recovery=Recovery(
            (RecoveryDay(_DAY + timedelta(days=2), "easy", 3_600.0),), 12_000.0, 8_000.0
        ),
        rules=_RULES,
        now=_NOW,
    )


def _runs() -> tuple[Run, ...]:
    days = (0, 3, 5, 7, 10, 31, 34, 40, 45)
    return tuple(
        Run(n, _NOW - timedelta(days=back), _DAY - timedelta(days=back), 6_000.0 + 100 * n)
        for n, back in enumerate(days)
    )


def _weeks() -> tuple[Week, ...]:
    monday = _DAY - timedelta(days=_DAY.weekday())
    return tuple(
        Week(monday - timedelta(weeks=back), 20_000.0, 3, 9_000.0, 7_200.0)
        for back in range(11, -1, -1)
    )


def _plan() -> Plan:
    kinds: tuple[WeekKind, ...] = ("gentle", "build", "hold", "easy", "taper", "rest")
    monday = _DAY + timedelta(days=2)
    weeks = tuple(
        PlannedWeek(
            monday + timedelta(weeks=number), kind, 26_000.0, 9_700.0,
            monday + timedelta(weeks=number, days=6), (5_400.0, 5_400.0, 5_400.0),
        )
        for number, kind in enumerate(kinds)
    )  # fmt: skip
    return Plan(_DAY, "on track", weeks, basis="what was absorbed")
