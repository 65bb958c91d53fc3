"""Recordings → runs: which recordings are one run, and which of them is believed.

Pure. The same run comes from a watch's file, from Strava, from an archive, in any order; this
room says which belong together and whose figures count. Two athletes' recordings never meet
here: callers pass one athlete's at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from worker.domain.models import Recording, Run, SourceName

OVERLAP_SHARE = 0.80
DISTANCE_SHARE = 0.05
HIDDEN_DURATION_SHARE = 0.05
NEIGHBOUR_DAYS = 2
"""Recordings further apart than this are never one run; a hidden start can be a day off."""

_GUESSED_PACE_M_PER_S = 2.8
_LONGEST_FILE_NAME = 200

FILES_PRECEDENCE: Mapping[SourceName, int] = {"inbox": 0, "import": 2}
"""Whose figures are believed first, the lowest; services have their own (`Source.precedence`)."""

_ANY_OTHER_SERVICE = 1


def same_run(one: Recording, other: Recording) -> bool:
    """True where two recordings of one athlete are of the same run.

    The same bytes are the same run (legs of one file are not). Else the distance must agree
    within 5 % and the shorter must lie to 80 % inside the longer's time. Where a start is hidden
    the clock says nothing, so the day and the duration must agree instead. A distance that the
    athlete corrected needn't agree: it was corrected because it was wrong. Nor need it where one
    source names the other's file.
    """
    if (one.source, one.external_id) == (other.source, other.external_id):
        return True
    if one.sha256 is not None and one.sha256 == other.sha256:
        return one.leg == other.leg
    close = _close(one.distance_m, other.distance_m, DISTANCE_SHARE) or _same_file(one, other)
    if one.hidden_start or other.hidden_start:
        return close and one.day == other.day and _same_duration(one, other)
    corrected = one.edited or other.edited
    return (close or corrected) and _overlap_share(one, other) >= OVERLAP_SHARE


def group(
    recordings: Iterable[Recording], *, precedence: Mapping[SourceName, int] = FILES_PRECEDENCE
) -> tuple[tuple[Recording, ...], ...]:
    """Recordings of one athlete in bundles, each one run; the order of input doesn't matter.

    The best recording of a bundle stands first, by the `precedence` of sources. Only bundles of the
    last days are compared with, so that the cost grows with the recordings, not with their square.
    """
    done: list[list[Recording]] = []
    recent: list[list[Recording]] = []
    for recording in sorted(recordings, key=lambda r: (r.started_at, r.source, r.external_id)):
        oldest = recording.started_at - timedelta(days=NEIGHBOUR_DAYS)
        done += [bundle for bundle in recent if bundle[-1].started_at < oldest]
        recent = [bundle for bundle in recent if bundle[-1].started_at >= oldest]
        akin = [b for b in recent if any(same_run(recording, other) for other in b)]
        joined = sorted((r for b in akin for r in b), key=lambda r: r.started_at)
        recent = [b for b in recent if b not in akin] + [[*joined, recording]]
    rank = partial(_rank, precedence)
    return tuple(tuple(sorted(bundle, key=rank)) for bundle in done + recent)


def believed_run(bundle: Sequence[Recording], *, run_id: int = 0) -> Run:
    """Returns the run of a bundle from `group`: the best recording's figures come first.

    The others fill its gaps. An edit by the athlete is believed first, then what a device measured,
    then the source that goes first. That any source calls it a race is enough.
    """
    best, *others = bundle
    timed = next((r for r in (best, *others) if not r.hidden_start), best)
    return Run(
        id=run_id,
        started_at=timed.started_at,
        day=timed.day,
        distance_m=best.distance_m,
        moving_s=_first(r.moving_s for r in (best, *others)),
        elapsed_s=_first(r.elapsed_s for r in (best, *others)),
        sport=best.sport,
        is_race=any(r.is_race for r in bundle),
    )


def _same_file(one: Recording, other: Recording) -> bool:
    return bool(one.file_name) and one.source != other.source and one.file_name == other.file_name


def _rank(
    precedence: Mapping[SourceName, int], recording: Recording
) -> tuple[bool, bool, int, datetime, str]:
    return (
        not recording.edited,
        not recording.device,
        precedence.get(recording.source, _ANY_OTHER_SERVICE),
        recording.started_at,
        recording.external_id,
    )


def plain_file_name(name: str) -> str:
    """What a file is called, without folders and endings, to compare files by.

    A service may know a file by the name it was uploaded under; on the way it may lose its packing.
    """
    last = name.replace("\\", "/").rpartition("/")[2].lower()
    for ending in (".gz", ".zip", ".fit", ".gpx", ".tcx"):
        last = last.removesuffix(ending)
    return last[:_LONGEST_FILE_NAME]


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _same_duration(one: Recording, other: Recording) -> bool:
    """True where both durations are known and agree; unknown ones prove nothing."""
    one_s, other_s = (r.elapsed_s or r.moving_s for r in (one, other))
    return bool(one_s and other_s and _close(one_s, other_s, HIDDEN_DURATION_SHARE))


def _duration_s(recording: Recording) -> float:
    known = recording.elapsed_s or recording.moving_s
    return known or recording.distance_m / _GUESSED_PACE_M_PER_S


def _overlap_share(one: Recording, other: Recording) -> float:
    one_s, other_s = _duration_s(one), _duration_s(other)
    ends = min(
        one.started_at + timedelta(seconds=one_s), other.started_at + timedelta(seconds=other_s)
    )
    shared_s = (ends - max(one.started_at, other.started_at)).total_seconds()
    shorter_s = min(one_s, other_s)
    return shared_s / shorter_s if shorter_s > 0 else 0.0


def _close(one: float, other: float, share: float) -> bool:
    return abs(one - other) <= share * max(one, other)
