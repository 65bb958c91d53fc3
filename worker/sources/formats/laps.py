"""Adds up laps, whichever way they were written.

Most devices write consecutive laps. Some write cumulative laps, some write a lap over several
others, some leave the last one empty. The track's totals, if there are any, show which it was;
otherwise the laps' times do, because laps can't overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_LAPS = 10_000
AGREE_SHARE = 0.1  # figures that differ by less agree
FASTEST_MEAN_M_S = 8.0  # faster than any runner over a whole activity
LAPS_GAP_S = 5.0
LONGER_SHARE = 1.01  # of the whole time: consecutive laps never add up to more


@dataclass(frozen=True, slots=True)
class Lap:
    """One lap: seconds since 1970 if given, metres and seconds, 0 if not given."""

    started_s: float | None
    metres: float
    seconds: float
    ended_s: float | None = None


def add_up(
    laps: Sequence[Lap], *, way_m: float = 0.0, way_s: float = 0.0, lasted_s: float = 0.0
) -> tuple[float, float]:
    """Metres and seconds of all laps together, or of the track if the laps can't be true.

    `way_m` and `way_s` are the totals of the track, `lasted_s` is the whole duration; each is 0 if
    it isn't known.
    """
    laps = [lap for lap in laps if lap.metres or lap.seconds]
    lasted_s = lasted_s or _span_s(laps)
    ways = [laps, laps[-1:], _apart(laps)]
    most_s = lasted_s * LONGER_SHARE + LAPS_GAP_S if lasted_s else float("inf")
    if not way_m and (sum(lap.seconds for lap in laps) > most_s or _at_once(laps)):
        ways = [laps[-1:] if _count_up(laps) else _apart(laps)]
    metres = [sum(lap.metres for lap in some) for some in ways]
    seconds = [sum(lap.seconds for lap in some) for some in ways]
    return (
        _weighed(metres, way_m, most=FASTEST_MEAN_M_S * lasted_s),
        _weighed(seconds, way_s, most=lasted_s),
    )


def agree(one: float, other: float) -> bool:
    """True if two figures for the same thing agree."""
    return abs(one - other) <= AGREE_SHARE * max(one, other)


def _weighed(sums: Sequence[float], measured: float, *, most: float) -> float:
    """The first sum, or another that agrees with `measured`, or `measured` itself.

    Another one is used if the first doesn't agree; `measured`, if the first is missing or
    exceeds `most`.
    """
    told, *others = sums
    if not measured or not told:
        return told or measured
    agreeing = [one for one in others if agree(one, measured)]
    if not agree(told, measured) and agreeing:
        return agreeing[0]
    return measured if most and told > most * (1 + AGREE_SHARE) else told


def _span_s(laps: Sequence[Lap]) -> float:
    """From the first lap's start to the last one's end, or 0 if these aren't given."""
    started_s = min((lap.started_s for lap in laps if lap.started_s), default=0.0)
    ended_s = max((lap.ended_s for lap in laps if lap.ended_s), default=started_s)
    return ended_s - started_s


def _at_once(laps: Sequence[Lap]) -> bool:
    """True if a lap begins before the previous one has ended."""
    return any(
        one.started_s is not None
        and other.started_s is not None
        and other.started_s < one.started_s + one.seconds - LAPS_GAP_S
        for one, other in pairwise(sorted(laps, key=lambda lap: lap.started_s or 0.0))
    )


def _count_up(laps: Sequence[Lap]) -> bool:
    """True if no lap is shorter than the previous one."""
    return all(
        one.metres <= other.metres and one.seconds <= other.seconds
        for one, other in pairwise(laps)
    )  # fmt: skip


def _apart(laps: Sequence[Lap]) -> Sequence[Lap]:
    """The laps that don't overlap shorter ones."""
    kept: list[Lap] = []
    end_s = float("-inf")
    for lap in sorted(laps, key=lambda lap: (lap.started_s or 0.0, lap.seconds)):
        if lap.started_s is None or lap.started_s >= end_s - LAPS_GAP_S:
            kept.append(lap)
            end_s = (lap.started_s or end_s) + lap.seconds
    return kept
