"""Recordings → runs: which recordings are of the same run, and whose figures count.

Pure. The same run arrives from a watch's file, from Strava and from an archive, in any order.
Callers pass the recordings of one athlete at a time.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from worker.domain.models import MANUAL, METRES_PER, Recording, Run, SourceName

VERSION = 3
"""Increased with each change of the matching rules, so that stored recordings are rematched."""

OVERLAP_SHARE = 0.80
DISTANCE_SHARE = 0.05
HIDDEN_DURATION_SHARE = 0.05
STILL_SHARE = 0.50
"""A recording with a smaller share of moving time has room for another run."""
PIECE_SHARE = 0.10
"""Pieces of one run overlap by less than this share of their time."""

ALIKE_OVERLAP_SHARE = 0.20
ALIKE_DISTANCE_SHARE, ALIKE_DURATION_SHARE = 0.02, 0.03
"""Recordings that overlap and are so similar are of one run, timed by two clocks."""

PART_SHARE = 0.80
FASTEST_REST_M_S = 6.5
"""A recording that lasts less than this share of another one is a part of it, unless the rest was
faster than people run: then the other recording continued in a car."""

CORRECTED_SHARE = 0.025
CROPPED_SHARE = 0.90
MORE_SHARE, MORE_S = 1.10, 120.0
UNIT_SHARE = 0.005
ROW_START_S = 5.0
"""An account's row corrects its file if its distance differs by more than this, or if it is
shorter in time. A row that lasts longer than the run describes more than that run. If the distances
differ by the ratio of mile to kilometre, one was read in the wrong unit."""

CLOCK_HOURS = 11
"""A clock that is set to another zone is seldom further off. Twelve hours would be too many: the
run home often starts twelve hours after the run to work."""
CLOCK_START_S = 20.0
CLOCK_DURATION_SHARE, CLOCK_DURATION_S = 0.003, 3.0
CLOCK_DISTANCE_SHARE = 0.02
"""How similar two recordings that start whole hours apart must be to be one run, one of them timed
by a wrong clock. The durations of separate runs seldom agree to the second."""

NEIGHBOUR_DAYS = 2
"""Recordings further apart than this are never of one run; a hidden start can be a day off."""

MOST_ASCENT_M = 12_000.0
"""A larger ascent is an error, and so is one that is larger than the distance."""

_GUESSED_PACE_M_PER_S = 2.8
_LONGEST_FILE_NAME = 200

FILES_PRECEDENCE: Mapping[SourceName, int] = {MANUAL: -1, "inbox": 0, "import": 2}
"""The precedence of each source; the lowest is believed first. Services have theirs in their
sections of the settings."""

_ANY_OTHER_SERVICE = 1


def same_run(one: Recording, other: Recording) -> bool:
    """True if two recordings of one athlete are of the same run.

    Nobody can run twice at the same time: if at least 80 % of the shorter one lies within the
    longer one's time, they are one run, whatever their distances are. A recording that stood
    still for most of its time leaves room for another run; then the distance must agree within 5
    %, unless the athlete corrected it or one source names the other's file. The legs of one file
    are one run only by that rule; identical bytes always are.

    If a start is hidden, the clock says nothing, so day, distance and duration must agree. Files
    of the same length, whole hours apart, come from a wrong clock.

    An athlete's correction belongs to its recording and, like a copy of it, to recordings that
    overlap it. An account's correction of an activity only belongs to recordings of that activity.
    """
    if one.key == other.key:
        return True
    if (one.about and one.about == other.key) or (other.about and other.about == one.key):
        return True
    if _account_word(one) or _account_word(other):
        return _of_one_activity(one, other)
    is_one_file = one.sha256 is not None and one.sha256 == other.sha256
    return (is_one_file and one.leg == other.leg) or _at_one_time(one, other, is_one_file)


def _at_one_time(one: Recording, other: Recording, is_one_file: bool) -> bool:
    close = _close(one.distance_m, other.distance_m, DISTANCE_SHARE) or _same_file(one, other)
    if one.hidden_start or other.hidden_start:
        return close and one.day == other.day and _same_duration(one, other)
    share = _overlap_share(one, other)
    if share >= OVERLAP_SHARE:
        return close or one.edited or other.edited or not _has_room(one, other)
    if is_one_file:
        return False
    return (share >= ALIKE_OVERLAP_SHARE and _alike(one, other)) or _clock_is_off(one, other)


def group(
    recordings: Iterable[Recording], *, precedence: Mapping[SourceName, int] = FILES_PRECEDENCE
) -> tuple[tuple[Recording, ...], ...]:
    """Group the recordings of one athlete into runs; the order of input doesn't matter.

    The best recording of a group comes first, by the `precedence` of sources; corrections come
    last. Only groups of the last days are compared, so that the cost grows with the recordings
    and not with their square.
    """
    recordings = sorted(recordings, key=lambda r: (r.started_at, r.source, r.external_id))
    # Day and distance of these are known, but neither start time nor duration.
    dated = {
        r.key: [r]
        for r in recordings
        if r.hidden_start and not r.about and (r.elapsed_s or r.moving_s) is None
    }
    for recording in recordings:
        if recording.about in dated:
            dated[recording.about].append(recording)
    whole_of = _wholes(recordings)

    def two_parts(one: Recording, other: Recording) -> bool:
        whole = whole_of.get(one.key)
        is_shared = whole is not None and whole == whole_of.get(other.key)
        return is_shared and _overlap_share(one, other) <= 0

    done: list[list[Recording]] = []
    recent: list[list[Recording]] = []
    for recording in recordings:
        if recording.key in dated or recording.about in dated:
            continue
        oldest = recording.started_at - timedelta(days=NEIGHBOUR_DAYS)
        done += [bundle for bundle in recent if bundle[-1].started_at < oldest]
        recent = [bundle for bundle in recent if bundle[-1].started_at >= oldest]
        akin = [
            b
            for b in recent
            if any(same_run(recording, other) and not two_parts(recording, other) for other in b)
        ]
        joined = sorted((r for b in akin for r in b), key=lambda r: r.started_at)
        recent = [b for b in recent if b not in akin] + [[*joined, recording]]
    bundles = [list(in_order(bundle, precedence=precedence)) for bundle in done + recent]
    bundles = _with_dated(_with_parts(bundles, whole_of), list(dated.values()))
    return tuple(in_order(bundle, precedence=precedence) for bundle in bundles)


def _wholes(recordings: Sequence[Recording]) -> Mapping[str, str]:
    """Map the key of each partial recording to that of the longer recording that contains it.

    The longer one stood still in between, and its distance is the sum of its parts. `recordings`
    are sorted by time.
    """
    told = [r for r in recordings if not (r.about or r.hidden_start)]
    starts = [r.started_at for r in told]
    whole_of: dict[str, str] = {}
    for whole in filter(_stood_still, told):
        ends = _ends(whole)
        near = told[bisect_left(starts, whole.started_at) : bisect_left(starts, ends)]
        parts = [r for r in near if r is not whole and _ends(r) <= ends and not _stood_still(r)]
        apart: list[Recording] = []
        for part in parts:
            if all(_overlap_share(part, other) <= 0 for other in apart):
                apart.append(part)
        total_m = sum(part.distance_m for part in apart)
        if len(apart) > 1 and _close(total_m, whole.distance_m, DISTANCE_SHARE):
            whole_of.update((part.key, whole.key) for part in parts)
    return whole_of


def _with_parts(
    bundles: Iterable[list[Recording]], whole_of: Mapping[str, str]
) -> list[list[Recording]]:
    """Join the groups with parts of a longer recording to the group with that recording."""
    wholes = set(whole_of.values())
    joined: dict[str, list[Recording]] = {}
    for bundle in bundles:
        keys = [r.key for r in bundle]
        whole = next((whole_of[key] for key in sorted(keys) if key in whole_of), None)
        if whole is None or whole in keys:
            whole = next((key for key in keys if key in wholes), keys[0])
        joined.setdefault(whole, []).extend(bundle)
    return list(joined.values())


def _with_dated(
    bundles: list[list[Recording]], dated: Sequence[list[Recording]]
) -> list[list[Recording]]:
    """Add the recordings without start time and duration to the groups, each with its corrections.

    Each belongs to the run of its day that is nearest in distance, or to all of the day's runs
    together; a run takes one from each source. If no run is near, it is a separate run.
    """
    by_day: dict[date, list[list[Recording]]] = {}
    days = {day_run[0].day for day_run in dated}
    for bundle in bundles if days else ():
        for day in {r.day for r in bundle if not r.about} & days:
            by_day.setdefault(day, []).append(bundle)
    told: dict[int, set[SourceName]] = {}
    left = set(range(len(dated)))

    def join(n: int, bundle: list[Recording]) -> None:
        bundle += dated[n]
        told.setdefault(id(bundle), set()).add(dated[n][0].source)
        left.remove(n)

    pairs = sorted(
        (_apart(dated[n][0], bundle), dated[n][0].key, n, at)
        for n in left
        for at, bundle in enumerate(by_day.get(dated[n][0].day, ()))
    )
    for apart, _, n, at in pairs:
        bundle = by_day[dated[n][0].day][at]
        is_told = dated[n][0].source in told.get(id(bundle), ())
        if apart <= DISTANCE_SHARE and n in left and not is_told:
            join(n, bundle)
    for n in sorted(left, key=lambda n: dated[n][0].key):
        one = dated[n][0]
        same_day = by_day.setdefault(one.day, [])
        free = [b for b in same_day if one.source not in told.get(id(b), ()) and b[0] is not one]
        total_m = sum(bundle[0].distance_m for bundle in free)
        alone = next((b for b in free if _apart(one, b) <= DISTANCE_SHARE), None)
        if alone is None and len(free) > 1 and _close(one.distance_m, total_m, DISTANCE_SHARE):
            alone = max(free, key=lambda bundle: bundle[0].distance_m)
        if alone is None:
            alone = []
            bundles.append(alone)
            same_day.append(alone)
        join(n, alone)
    return bundles


def _apart(one: Recording, bundle: Collection[Recording]) -> float:
    """The share by which a recording's distance differs from the nearest distance in a bundle."""
    return min(
        abs(one.distance_m - r.distance_m) / (max(one.distance_m, r.distance_m) or 1.0)
        for r in bundle
        if not r.about or r.source == MANUAL
    )


def in_order(
    bundle: Iterable[Recording], *, precedence: Mapping[SourceName, int]
) -> tuple[Recording, ...]:
    """The recordings of one run, the most trusted one first."""
    bundle = list(bundle)

    def rank(one: Recording) -> tuple[bool, bool, bool, bool, int, datetime, str]:
        return (
            bool(one.about),
            one.source != MANUAL,
            not (one.edited or _corrects_its_file(one, bundle)),
            not one.device,
            precedence.get(one.source, _ANY_OTHER_SERVICE),
            one.started_at,
            one.external_id,
        )

    return tuple(sorted(bundle, key=rank))


def corrects(row: Recording, file: Recording) -> bool:
    """True if an account's row shows that the athlete cropped or corrected the file's activity."""
    if not row.distance_m or tells_of_more(row, file):
        return False
    if _close(row.distance_m, file.distance_m, CORRECTED_SHARE):
        lasted_s = row.elapsed_s or math.inf
        return lasted_s < CROPPED_SHARE * (file.elapsed_s or 0.0)
    ratio = row.distance_m / file.distance_m if file.distance_m else 0.0
    mile = METRES_PER["mi"] / METRES_PER["km"]
    return not (_close(ratio, mile, UNIT_SHARE) or _close(ratio, 1 / mile, UNIT_SHARE))


def tells_of_more(row: Recording, run: Recording) -> bool:
    """True if an account's row describes more than this run, which was one leg of several."""
    if row.elapsed_s is None or run.elapsed_s is None:
        return False
    return row.elapsed_s > max(MORE_SHARE * run.elapsed_s, run.elapsed_s + MORE_S)


def _corrects_its_file(row: Recording, bundle: Iterable[Recording]) -> bool:
    if not row.account or row.about:
        return False
    files = [
        r for r in bundle if r.sha256 and not (r.account or r.about) and _of_one_activity(row, r)
    ]
    return bool(files) and all(corrects(row, file) for file in files)


def _of_one_activity(one: Recording, other: Recording) -> bool:
    """True if an account's row and a recording are of one activity, by their file or start time."""
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256 and one.leg == other.leg
    apart_s = abs((one.started_at - other.started_at).total_seconds())
    return (
        not (one.hidden_start or other.hidden_start)
        and apart_s <= ROW_START_S
        and not tells_of_more(*((one, other) if one.account else (other, one)))
    )


def _account_word(recording: Recording) -> bool:
    return recording.account and bool(recording.about)


def believed_run(bundle: Sequence[Recording], *, run_id: int = 0) -> Run:
    """The run of a bundle from `group`: the best recording's figures; the others fill its gaps.

    An edit by the athlete is believed first, then what a device measured, then the source with the
    highest precedence. If a recording was cut short, the complete one is believed. The run is a
    race if any source says so. A distance that the athlete corrected here overrides all of them.
    """
    best, *others = [r for r in bundle if not r.about]
    corrected = next((r for r in bundle if r.about and not r.excluded), None)
    pieces = _pieces([best, *others])
    if not (best.edited or best.account):
        pieces = _fuller(pieces, others) or pieces
    timed = next((r for r in (*pieces, *others) if not r.hidden_start), best)
    distance_m = corrected.distance_m if corrected else sum(r.distance_m for r in pieces)
    # From the start of the first piece to the end of the last.
    last = pieces[-1]
    pause_s = (last.started_at - pieces[0].started_at).total_seconds()
    lasted_s = None if last.elapsed_s is None else pause_s + last.elapsed_s
    ascents_m = (_sum(r.ascent_m for r in pieces), *(r.ascent_m for r in others))
    most_m = min(distance_m, MOST_ASCENT_M)
    return Run(
        id=run_id,
        started_at=timed.started_at,
        day=timed.day,
        distance_m=distance_m,
        moving_s=_sum(r.moving_s for r in pieces) or _first(r.moving_s for r in others),
        elapsed_s=lasted_s or _first(r.elapsed_s for r in others),
        sport=best.sport,
        is_race=any(r.is_race for r in bundle),
        ascent_m=_first(one for one in ascents_m if one is not None and 0 <= one <= most_m),
    )


def left_out(bundle: Sequence[Recording]) -> str | None:
    """Why the athlete left a bundle out, or None if it counts.

    A run that the athlete added counts unless that run itself was left out. What their account says
    about a file applies too, unless they decided otherwise here.
    """
    words = [r for r in bundle if r.excluded and not r.account]
    theirs = any(r.source == MANUAL and r.about and not r.excluded for r in bundle)
    told = [r for r in bundle if not r.about]
    if not (words or theirs):
        words = [
            r for r in bundle if _account_word(r) and not any(tells_of_more(r, t) for t in told)
        ]
    added = {r.key for r in bundle if r.source == MANUAL and not r.about}
    return words[0].note if words and added <= {word.about for word in words} else None


def _fuller(pieces: Sequence[Recording], others: Sequence[Recording]) -> list[Recording] | None:
    """The pieces of a fuller recording, if `pieces` are only a part of it; else None."""
    covered_s = sum(_duration_s(piece) for piece in pieces)
    covered_m = sum(piece.distance_m for piece in pieces)
    fuller = [
        other
        for other in others
        if not other.hidden_start
        and covered_s < PART_SHARE * _duration_s(other)
        and other.distance_m > (1 + DISTANCE_SHARE) * covered_m
        and other.distance_m - covered_m <= FASTEST_REST_M_S * (_duration_s(other) - covered_s)
    ]
    return _pieces(sorted(fuller, key=lambda r: -r.distance_m)) if fuller else None


def _pieces(bundle: Sequence[Recording]) -> list[Recording]:
    """The best recording, and the other pieces of the run from the same source, earliest first.

    A watch may split a run into three files while a phone has one.
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


def _same_file(one: Recording, other: Recording) -> bool:
    return bool(one.file_name) and one.source != other.source and one.file_name == other.file_name


def plain_file_name(name: str) -> str:
    """A file's name without folders and extensions, for comparison.

    A service may know a file by the name under which it was uploaded, compressed or not.
    """
    last = name.replace("\\", "/").rpartition("/")[2].lower()
    for ending in (".gz", ".zip", ".fit", ".gpx", ".tcx"):
        last = last.removesuffix(ending)
    return last[:_LONGEST_FILE_NAME]


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum, or None if any value is None."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _has_room(one: Recording, other: Recording) -> bool:
    """True if the longer one stood still most of the time, long enough for the shorter one."""
    longer, shorter = sorted((one, other), key=_duration_s, reverse=True)
    still_s = (longer.elapsed_s or 0.0) - (longer.moving_s or 0.0)
    return _stood_still(longer) and still_s >= (shorter.moving_s or _duration_s(shorter))


def _stood_still(recording: Recording) -> bool:
    if recording.moving_s is None or recording.elapsed_s is None:
        return False
    return recording.moving_s < STILL_SHARE * recording.elapsed_s


def _alike(one: Recording, other: Recording) -> bool:
    """True if distances and durations agree closely enough for one run."""
    return _close(_duration_s(one), _duration_s(other), ALIKE_DURATION_SHARE) and _close(
        one.distance_m, other.distance_m, ALIKE_DISTANCE_SHARE
    )


def _clock_is_off(one: Recording, other: Recording) -> bool:
    """True if two recordings whole hours apart are so similar that a clock must have been wrong.

    All activities of a service are by the same clock, so only files are compared with each other.
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
    """True if both durations are known and agree.

    A recording with a day and a single duration may mean the moving time.
    """
    one_s, other_s = (r.elapsed_s or r.moving_s for r in (one, other))
    pairs = [(one_s, other_s)]
    for dated, timed in ((one, other), (other, one)):
        if dated.hidden_start and dated.elapsed_s == dated.moving_s:
            pairs.append((dated.moving_s, timed.moving_s))
    return any(a and b and _close(a, b, HIDDEN_DURATION_SHARE) for a, b in pairs)


def _ends(recording: Recording) -> datetime:
    return recording.started_at + timedelta(seconds=_duration_s(recording))


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
