"""Recordings → runs: which recordings are one run, and which of them is believed.

Pure. The same run comes from a watch's file, from Strava, from an archive, in any order; this
room says which belong together and whose figures count. Two athletes' recordings never meet
here: callers pass one athlete's at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from worker.domain.models import MANUAL, Recording, Run, SourceName

VERSION = 2
"""Grows with each change of what is one run, so that stored recordings are matched anew."""

OVERLAP_SHARE = 0.80
DISTANCE_SHARE = 0.05
HIDDEN_DURATION_SHARE = 0.05
STILL_SHARE = 0.50
"""Who moved for less of a recording's time had room in it for another run."""
PIECE_SHARE = 0.10
"""Pieces of one run share less of their time than this."""

CLOCK_HOURS = 11
"""A clock that was left in another zone is seldom further off, and the run home is twelve hours
after the run to work."""
CLOCK_START_S = 20.0
CLOCK_DURATION_SHARE, CLOCK_DURATION_S = 0.003, 3.0
CLOCK_DISTANCE_SHARE = 0.02
"""How alike two recordings whole hours apart must be to be one run by a clock that was off: real
runs an hour apart aren't as long as each other to the second."""

NEIGHBOUR_DAYS = 2
"""Recordings further apart than this are never one run; a hidden start can be a day off."""

_GUESSED_PACE_M_PER_S = 2.8
_LONGEST_FILE_NAME = 200

FILES_PRECEDENCE: Mapping[SourceName, int] = {MANUAL: -1, "inbox": 0, "import": 2}
"""Whose figures are believed first, the lowest; services have their own (`Source.precedence`)."""

_ANY_OTHER_SERVICE = 1


def same_run(one: Recording, other: Recording) -> bool:
    """True where two recordings of one athlete are of the same run.

    One body can't run twice at the same time: where the shorter lies to 80 % inside the longer's
    time they are one, whatever their distances say. A recording that stood still for most of its
    time leaves room for another run; then the distance must agree within 5 %, unless the athlete
    corrected it or one source names the other's file. The legs of one file are one run only by
    that rule, and the same bytes always are.

    Where a start is hidden the clock says nothing, so day, distance and duration must agree.
    Files of the same length, whole hours apart, were told by a clock that was off.

    The athlete's word on a recording belongs to it, and as a copy of it to what it overlaps.
    """
    if (one.source, one.external_id) == (other.source, other.external_id):
        return True
    if (one.about and one.about == other.key) or (other.about and other.about == one.key):
        return True
    is_one_file = one.sha256 is not None and one.sha256 == other.sha256
    if is_one_file and one.leg == other.leg:
        return True
    close = _close(one.distance_m, other.distance_m, DISTANCE_SHARE) or _same_file(one, other)
    if one.hidden_start or other.hidden_start:
        same = _same_duration(one, other) or _added_by_day(one) or _added_by_day(other)
        return close and one.day == other.day and same
    if _overlap_share(one, other) >= OVERLAP_SHARE:
        return close or one.edited or other.edited or not _has_room(one, other)
    return not is_one_file and _clock_is_off(one, other)


def group(
    recordings: Iterable[Recording], *, precedence: Mapping[SourceName, int] = FILES_PRECEDENCE
) -> tuple[tuple[Recording, ...], ...]:
    """Recordings of one athlete in bundles, each one run; the order of input doesn't matter.

    The best recording of a bundle stands first, by the `precedence` of sources; words on others
    stand last. Only bundles of the
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
    return tuple(in_order(bundle, precedence=precedence) for bundle in done + recent)


def in_order(
    bundle: Iterable[Recording], *, precedence: Mapping[SourceName, int]
) -> tuple[Recording, ...]:
    """The recordings of one run, whose figures are believed first standing first."""
    return tuple(sorted(bundle, key=partial(_rank, precedence)))


def believed_run(bundle: Sequence[Recording], *, run_id: int = 0) -> Run:
    """Returns the run of a bundle from `group`: the best recording's figures come first.

    The others fill its gaps. An edit by the athlete is believed first, then what a device measured,
    then the source that goes first. That any source calls it a race is enough. A distance that
    the athlete corrected here is believed before all of them.
    """
    best, *others = [r for r in bundle if not r.about]
    corrected = next((r for r in bundle if r.about and not r.excluded), None)
    pieces = _pieces([best, *others])
    timed = next((r for r in (*pieces, *others) if not r.hidden_start), best)
    return Run(
        id=run_id,
        started_at=timed.started_at,
        day=timed.day,
        distance_m=corrected.distance_m if corrected else sum(r.distance_m for r in pieces),
        moving_s=_sum(r.moving_s for r in pieces) or _first(r.moving_s for r in others),
        elapsed_s=_lasted_s(pieces) or _first(r.elapsed_s for r in others),
        sport=best.sport,
        is_race=any(r.is_race for r in bundle),
    )


def left_out(bundle: Sequence[Recording]) -> str | None:
    """Why a bundle doesn't count by the athlete's own word, or None where it does.

    What the athlete added counts unless it was left out itself.
    """
    words = [r for r in bundle if r.excluded]
    added = {r.key for r in bundle if r.source == MANUAL and not r.about}
    return words[0].note if words and added <= {word.about for word in words} else None


def _pieces(bundle: Sequence[Recording]) -> list[Recording]:
    """The best recording, and what else of the run its source has, the earliest first.

    A watch may have a run in three files where a phone has it in one.
    """
    best, *others = bundle
    pieces = [best]
    for other in others:
        if (
            other.source == best.source
            and not (best.hidden_start or other.hidden_start)
            and all(
                _overlap_share(other, piece) < PIECE_SHARE and not same_run(other, piece)
                for piece in pieces
            )
        ):
            pieces.append(other)
    return sorted(pieces, key=lambda piece: piece.started_at)


def _lasted_s(pieces: Sequence[Recording]) -> float | None:
    """Seconds from the start of the first piece to the end of the last, None where not known."""
    first, last = pieces[0], pieces[-1]
    if last.elapsed_s is None:
        return None
    return (last.started_at - first.started_at).total_seconds() + last.elapsed_s


def _same_file(one: Recording, other: Recording) -> bool:
    return bool(one.file_name) and one.source != other.source and one.file_name == other.file_name


def _rank(
    precedence: Mapping[SourceName, int], recording: Recording
) -> tuple[bool, bool, bool, bool, int, datetime, str]:
    return (
        bool(recording.about),
        recording.source != MANUAL,
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


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum, None where any of them isn't known."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _has_room(one: Recording, other: Recording) -> bool:
    """True where the longer one stood still for most of its time, and the shorter fits in there."""
    longer, shorter = sorted((one, other), key=_duration_s, reverse=True)
    if longer.moving_s is None or longer.elapsed_s is None:
        return False
    still_s = longer.elapsed_s - longer.moving_s
    return longer.moving_s < STILL_SHARE * longer.elapsed_s and still_s >= (
        shorter.moving_s or _duration_s(shorter)
    )


def _clock_is_off(one: Recording, other: Recording) -> bool:
    """True where two recordings whole hours apart are so alike that a clock must have been off.

    A service gives all that it has by the same clock; files come from wherever they come.
    """
    if one.source == other.source and None in (one.sha256, other.sha256):
        return False
    apart_s = abs((one.started_at - other.started_at).total_seconds())
    hours = round(apart_s / 3600)
    one_s, other_s = one.elapsed_s, other.elapsed_s
    if not (one_s and other_s and 1 <= hours <= CLOCK_HOURS):
        return False
    duration_s = max(CLOCK_DURATION_S, CLOCK_DURATION_SHARE * max(one_s, other_s))
    return (
        abs(apart_s - 3600 * hours) <= CLOCK_START_S
        and abs(one_s - other_s) <= duration_s
        and _close(one.distance_m, other.distance_m, CLOCK_DISTANCE_SHARE)
    )


def _same_duration(one: Recording, other: Recording) -> bool:
    """True where both durations are known and agree; unknown ones prove nothing."""
    one_s, other_s = (r.elapsed_s or r.moving_s for r in (one, other))
    return bool(one_s and other_s and _close(one_s, other_s, HIDDEN_DURATION_SHARE))


def _added_by_day(recording: Recording) -> bool:
    """True for a run that was added with neither its hour nor its duration."""
    is_added = recording.source == MANUAL and not recording.about
    return is_added and recording.hidden_start and recording.elapsed_s is None


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
