"""How a plan differs from the plan of a week before, and why. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from worker.domain.history import History
from worker.domain.models import Plan, Race
from worker.domain.rules import Rules

_DAY: Final = timedelta(days=1)

PlanChangeReason = Literal["pain", "finding", "race", "less", "shorter", "more"]


@dataclass(frozen=True, slots=True)
class PlanChange:
    """How the plan differs from that of a week before, in metres, and why.

    `before_m` and `now_m` are the distances of the week, or of its long run if `is_long`; they are
    equal if it stays the same. In the week between, `ran_m` of `planned_m` were run. `moved` is the
    race of a week ago and today's, if it was moved.
    """

    before_m: float
    now_m: float
    ran_m: float
    planned_m: float
    why: PlanChangeReason
    is_long: bool = False
    moved: tuple[Race, Race] | None = None


def change_of(
    before: Plan,
    now: Plan,
    history: History,
    *,
    rules: Rules,
    moved: tuple[Race, Race] | None = None,
) -> PlanChange | None:
    """How the first week of a plan differs from the plan of a week before; None if only little.

    `moved` are the race of the plan of a week before and today's, if they differ; that is
    reported even if the week stays the same. Without a race there is nothing to compare, because
    each week is planned for itself.
    """
    if len(before.weeks) < 2 or not now.weeks:  # noqa: PLR2004  the week between, and this one
        return None
    between, then = before.weeks[:2]
    first = now.weeks[0]
    if first.starts_on != then.starts_on:
        return None
    is_other = not _alike(first.week_m, then.week_m, rules)
    is_long = not is_other and not _alike(first.long_m, then.long_m, rules)
    if not (is_other or is_long or moved):
        return None
    week = between.starts_on, first.starts_on - _DAY
    longest = history.longest(*week)
    ran_m, planned_m = history.sum_m(*week), between.week_m
    why: PlanChangeReason = "less" if ran_m < planned_m else "more"
    if is_long or (is_other and _alike(ran_m, planned_m, rules)):
        longest_m = longest.distance_m if longest else 0.0
        if longest_m < between.long_m and not _alike(longest_m, between.long_m, rules):
            why, ran_m, planned_m = "shorter", longest_m, between.long_m
    if first.kind == "rest":
        why = "pain"
    elif first.kind == "gentle":
        why = "finding" if "finding" in now.basis else "pain"
    elif moved:
        why = "race"
    before_m, now_m = (then.long_m, first.long_m) if is_long else (then.week_m, first.week_m)
    if not (is_other or is_long):
        before_m = now_m
    return PlanChange(before_m, now_m, ran_m, planned_m, why, is_long, moved)


def _alike(one_m: float, other_m: float, rules: Rules) -> bool:
    """Whether the difference between two distances is too small to report."""
    return abs(one_m - other_m) <= rules.plan_same_share * max(one_m, other_m)
