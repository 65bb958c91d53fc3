"""Weighs a session's figures against its file's records, laps and positions.

A watch's summary is usually right, and then used alone. If it lacks a figure, or its last record
contradicts it, all sources are compared. What two of them agree on is believed first; then the
summary, the records, the laps, and the positions, in this order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.sources.fields import amount
from worker.sources.formats.laps import FASTEST_MEAN_M_S, Lap, add_up, agree
from worker.sources.formats.track import LONGEST_SILENCE_S, Odometer, Point

MOST_S = 7 * 86_400.0
MOST_M = 1_000_000.0  # in one recording; more is an overflow
OFF_S = 60.0  # a summary and its records rarely end further apart

SUMMARY, RECORDS, LAPS, PLACES = "summary", "records", "laps", "places"


@dataclass(slots=True)
class Figures:
    """Start, metres, moving and elapsed seconds of one session; None if not known."""

    started_at: datetime | None
    distance_m: float | None
    moving_s: float | None
    elapsed_s: float | None

    @classmethod
    def told(cls, session: Mapping[str, Any], started_at: datetime | None) -> "Figures":
        """The plausible figures of a session."""
        elapsed_s = _positive(session.get("total_elapsed_time"), most=MOST_S)
        moving_s = _positive(session.get("total_timer_time"), most=MOST_S)
        times = [time for time in (moving_s, elapsed_s) if time]
        distance_m = _positive(session.get("total_distance"), most=MOST_M)
        # The longer time is the elapsed one, even if the two are swapped.
        return cls(started_at, distance_m, min(times, default=None), max(times, default=None))

    @property
    def complete(self) -> bool:
        """True if nothing is missing."""
        return None not in (self.started_at, self.distance_m, self.moving_s)

    @property
    def started_s(self) -> float | None:
        """The start in seconds since 1970."""
        return self.started_at.timestamp() if self.started_at else None

    def contradicted_by(self, last: Point | None) -> bool:
        """True if a recording with this last point can't have these (complete) figures."""
        started_s = self.started_s or 0.0
        if last is None:
            return False
        least_s, most_s = (self.moving_s or 0.0) - OFF_S, (self.elapsed_s or 0.0) + OFF_S
        if last.at_s and not least_s <= last.at_s - started_s <= most_s:
            return True
        if most_s - least_s > LONGEST_SILENCE_S:
            return True
        return bool(last.counted_m) and not agree(last.counted_m or 0.0, self.distance_m or 0.0)

    def weigh(self, track: Odometer, laps: Sequence[Lap], *, alone: bool) -> list[str]:
        """Take each figure from the most credible source; returns notes on the replaced ones.

        `track` has the records of this session, or of the whole file if it is `alone` there.
        """
        laps_m, laps_s = add_up(laps, lasted_s=max(self.elapsed_s or 0.0, track.elapsed_s))
        told = {SUMMARY: self.distance_m or 0.0, RECORDS: track.counted_m, LAPS: laps_m,
                PLACES: track.measured_m}  # fmt: skip
        notes = []
        if alone and self._ended_early(track):
            del told[SUMMARY], told[LAPS]
            self.moving_s, self.elapsed_s = track.moving_s, track.elapsed_s
            notes.append("its summary ends before its records")
        lasted_s = max(self.elapsed_s or 0.0, track.elapsed_s, laps_s)
        source, distance_m = _most_likely(told, most=FASTEST_MEAN_M_S * lasted_s)
        if source != SUMMARY and distance_m:
            place = RECORDS if source == PLACES else source
            notes.append(f"the distance comes from its {place}")
        self.distance_m = distance_m or None
        self._time(track, laps_s, notes)
        self._start(track, laps, notes, alone=alone)
        if self.elapsed_s and self.elapsed_s > MOST_S:
            self.elapsed_s = self.moving_s
        return notes

    def _ended_early(self, track: Odometer) -> bool:
        """True if the records are longer than the summary in time and distance."""
        told = (self.elapsed_s, self.moving_s)
        lasted = (track.elapsed_s, track.moving_s)
        return (
            None not in told
            and track.elapsed_s > (self.elapsed_s or 0.0) + OFF_S
            and not any(agree(one or 0.0, other) for one, other in zip(told, lasted, strict=True))
            and track.moving_s > (self.moving_s or 0.0)
            and track.distance_m > (self.distance_m or 0.0)
            and not agree(track.distance_m, self.distance_m or 0.0)
        )

    def _time(self, track: Odometer, laps_s: float, notes: list[str]) -> None:
        least_s = (self.distance_m or 0.0) / FASTEST_MEAN_M_S
        others = [time for time in (track.moving_s, laps_s) if time >= max(least_s, 1.0)]
        if self.moving_s and self.moving_s < least_s and others:
            notes.append("the time comes from its records")
            self.moving_s = None
        self.moving_s = self.moving_s or next(iter(others), track.moving_s) or None
        elapsed_s = max(self.elapsed_s or 0.0, self.moving_s or 0.0)
        self.elapsed_s = elapsed_s or track.elapsed_s or None

    def _start(
        self, track: Odometer, laps: Sequence[Lap], notes: list[str], *, alone: bool
    ) -> None:
        """Use the records' start if the summary has none, or is from another time."""
        first_s, started_s = track.first_s, self.started_s
        if started_s is None and first_s is None:
            first_s = min((lap.started_s for lap in laps if lap.started_s), default=None)
            if first_s is not None:
                self.started_at = datetime.fromtimestamp(first_s, UTC)
                notes.append("the start comes from its laps")
        elif first_s is not None and (started_s is None or (alone and self._elsewhere(track))):
            self.started_at = track.started_at
            if started_s is not None:
                self.elapsed_s = max(track.elapsed_s, self.moving_s or 0.0) or None
            notes.append("the start comes from its records")

    def _elsewhere(self, track: Odometer) -> bool:
        """True if the summary's time covers less than half of the records, or is days off."""
        first_s, started_s = track.first_s or 0.0, self.started_s or 0.0
        ended_s = started_s + (self.elapsed_s or 0.0)
        common_s = min(ended_s, track.last_s or 0.0) - max(started_s, first_s)
        off_s = abs(started_s - first_s)
        return off_s > LONGEST_SILENCE_S or (off_s > OFF_S and common_s < track.elapsed_s / 2)


def _most_likely(told: Mapping[str, float], *, most: float) -> tuple[str, float]:
    """The first figure that another one agrees with, else the first plausible one."""
    figures = [(source, metres) for source, metres in told.items() if 0 < metres <= MOST_M]
    if not figures:
        return SUMMARY, 0.0
    possible = [(source, metres) for source, metres in figures if not most or metres <= most]
    for source, metres in possible:
        if any(other != source and agree(metres, others) for other, others in possible):
            return source, metres
    return (possible or figures)[0]


def _positive(value: Any, *, most: float) -> float | None:
    """A plausible figure: a number above zero and up to the maximum."""
    figure = amount(value)
    return figure if figure and figure <= most else None
