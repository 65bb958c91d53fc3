"""Whatever the detector finds in any history becomes a valid mail."""

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from simulators import mail_facts as made
from simulators.mail_lint import lint
from worker.domain import detector, planner
from worker.domain.history import History, week_start
from worker.domain.models import Athlete, Run, Units
from worker.domain.rules import Rules
from worker.domain.weeks import past_weeks
from worker.links import Signer
from worker.notify import AlertFacts, Composer, Noticed, WeeklyFacts

RULES = Rules()
SIGNER = Signer(["a key"], "https://easeback.example.org")
COMPOSER = Composer(signer=SIGNER, checkins=True)
GERMAN = Composer(signer=SIGNER, language="de")
BEGIN = date(2025, 8, 1)

gaps_and_metres = st.lists(
    st.tuples(st.sampled_from([1, 2, 2, 3, 3, 5, 8, 17, 40, 70]), st.integers(50, 30_000)),
    min_size=1,
    max_size=60,
)


def history(steps: list[tuple[int, int]], *, jump: float) -> tuple[Run, ...]:
    """Runs with these gaps and metres, and a last one of `jump` times the longest."""
    day, runs = BEGIN, []
    last = (2, round(jump * max(metres for _, metres in steps)))
    for number, (gap, metres) in enumerate([*steps, last]):
        day += timedelta(days=gap)
        started_at = datetime.combine(day, time(6), UTC)
        runs.append(Run(number, started_at, day, metres, metres * 0.36, metres * 0.37))
    return tuple(runs)


@settings(
    max_examples=10,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    gaps_and_metres,
    st.floats(0.2, 6),
    st.sampled_from(["km", "mi"]),
    st.sampled_from([(), ("buttock",), ("knee", "achilles")]),
)
def test_every_finding_and_every_week_of_any_history_makes_a_sound_mail(
    steps: list[tuple[int, int]], jump: float, units: Units, pain: tuple[str, ...]
) -> None:
    """Alert and weekly mail pass the lint in both languages for any runs."""
    runs = history(steps, jump=jump)
    athlete = made.athlete(units=units, pain=pain, timezone="UTC")
    day = runs[-1].day
    past = History.of(runs, rules=RULES)
    for composer in (COMPOSER, GERMAN):
        for facts in alerts(past, athlete, day):
            lint(composer.alert(facts), signer=SIGNER)
        lint(composer.weekly(weekly(past, athlete, day)), signer=SIGNER)


def alerts(past: History, athlete: Athlete, day: date) -> list[AlertFacts]:
    """The facts of each finding of that day."""
    verdict = detector.judge_day(past, day, rules=RULES, race=athlete.race)
    return [
        AlertFacts(
            athlete=athlete,
            finding=finding,
            verdict=verdict,
            runs=tuple(run for session in past.sessions for run in session.runs),
            steps=made.steps(athlete.pain),
            recovery=planner.recovery(past, day, rules=RULES),
            rules=RULES,
            now=datetime.combine(day, time(20), UTC),
        )
        for finding in verdict.findings
    ]


def weekly(past: History, athlete: Athlete, day: date) -> WeeklyFacts:
    """The facts of that day's week."""
    ends_on = week_start(day, 0) + timedelta(days=6)
    weeks = past_weeks(past, until=ends_on, count=14, week_starts=0)
    verdict = detector.judge_day(past, day, rules=RULES)
    return WeeklyFacts(
        athlete=athlete,
        weeks=weeks,
        findings=tuple(Noticed(finding, mailed=True) for finding in verdict.findings),
        steps=made.steps(athlete.pain, severity=1),
        plan=planner.plan(
            past,
            ends_on + timedelta(days=1),
            race=athlete.race,
            findings=verdict.findings,
            rules=RULES,
        ),
        rules=RULES,
        now=datetime.combine(ends_on + timedelta(days=1), time(7), UTC),
        too_little=detector.too_little(past, day, rules=RULES),
    )
