"""Whether the thresholds are the ones to choose: `python -m bench.detector_choice FOLDER ...`.

One threshold at a time is varied, and the tuning half of each folder (every second runner by name)
is judged again. A value is *better* than ours if it warns of no fewer re-trainings and monthly
rises, with no more mails in the median and at the 90th percentile, improves one of these four, and
misses no required figure. The last line judges our thresholds on the other half, which no line
above has used.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from bench.detector_score import RULES, Judged, Score, judged, parts, score
from bench.histories import folder, real
from worker.domain.detector import MailedAlert, Replayed, replay, worth_mailing
from worker.domain.models import Finding
from worker.domain.rules import Rules

GRID: dict[str, tuple[Any, ...]] = {
    "month_over": (1.4, 1.5, 1.6, 1.7, 1.8),
    "month_excess_m": (20_000.0, 30_000.0, 40_000.0),
    "month_min_m": (10_000.0, 20_000.0, 30_000.0),
    "month_last_days": (7, 10, 14, 21, 28),
    "mail_month_days": (14, 21, 28, 42),
    "mail_familiar_days": (60, 75, 90, 120, 180),
    "mail_familiar_level": (0.5, 0.65, 0.75, 0.85),
    "mail_familiar_low_days": (30, 45, 60, 75, 90),
    "mail_far_over": (1.1, 1.3, 1.5),
    "mail_every_runs": (3, 6, 7, 10),
    "run_min_m": (5_000.0, 6_000.0, 8_000.0),
    "return_min_m": (3_000.0, 5_000.0, 6_000.0),
    "season_volume_days": (28, 56, 84),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help="real histories; else EASEBACK_REAL_DATA")
    parser.add_argument("--only", nargs="+", choices=GRID, default=GRID, metavar="THRESHOLD")
    arguments = parser.parse_args()
    groups = parts(
        {
            path.name: [judged(one) for one in real(path)]
            for path in map(folder, arguments.folders or [None])
        }
    )
    tuning, judging = list(groups.values())[-2:]
    ours = score(tuning)
    print(file=sys.stderr)
    print(
        "| threshold | | mails a year: median | 90th percentile | re-trainings mailed "
        "| rises mailed | inside | missed | |"
    )
    print("|---" * 9 + "|")
    for name in arguments.only:
        for value in GRID[name]:
            is_ours = value == getattr(RULES, name)
            rules = replace(RULES, **{name: value})
            mails_only = name.startswith("mail_")
            found = ours if is_ours else _by(tuning, rules, mails_only=mails_only)
            verdict = "ours" if is_ours else "better" if _is_better(found, ours) else ""
            print(_row(f"`{name}` | {value:g}", found, verdict), flush=True)
    print(_row("the judging half | ", score(judging), "ours"))


def _by(runners: Sequence[Judged], rules: Rules, *, mails_only: bool) -> Score:
    again = _mailed_again if mails_only else _judged_again
    return score([replace(one, replayed=again(one, rules)) for one in runners])


def _judged_again(one: Judged, rules: Rules) -> tuple[Replayed, ...]:
    return replay(one.history, rules=rules)


def _mailed_again(one: Judged, rules: Rules) -> tuple[Replayed, ...]:
    """The same findings, with the ones that other rules would have mailed."""
    mailed: list[MailedAlert] = []
    replayed: list[Replayed] = []
    for verdict, group in groupby(one.replayed, key=attrgetter("verdict")):
        choice = worth_mailing(
            verdict.findings, mailed=mailed, today=verdict.day, rules=rules, history=one.history
        )
        if isinstance(choice, Finding):
            mailed = [MailedAlert(verdict.day, choice.severity)]
        replayed += [replace(each, mailed=each.finding is choice) for each in group]
    return tuple(replayed)


def _is_better(one: Score, ours: Score) -> bool:
    """Whether nothing is worse and something is better, with all required figures met by both."""
    pairs = (
        (one.winters_mailed, ours.winters_mailed),
        (one.rises_mailed, ours.rises_mailed),
        (ours.median, one.median),
        (ours.ninetieth, one.ninetieth),
    )
    is_no_worse = all(found >= known for found, known in pairs)
    return is_no_worse and any(found > known for found, known in pairs) and not one.missed


def _row(name: str, one: Score, verdict: str) -> str:
    cells = (
        name,
        f"{one.median:.2f}",
        f"{one.ninetieth:.2f}",
        f"{one.winters_mailed} of {one.winters}",
        f"{one.rises_mailed} of {one.rises}",
        f"{one.inside / one.single:.1%}",
        ", ".join(one.missed),
        verdict,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
