"""Which sports count as running, and how to say that one doesn't.

The file's name for its sport decides, then its title, then its pace.
"""

from collections.abc import Sequence

from worker.domain.models import Sport
from worker.sources import NotARun
from worker.sources.formats.sport_words import title_means, type_means
from worker.sources.formats.track import Odometer

# The range of mean speeds at which an untyped track counts as a run: 9:15 to 3:20 min/km.
SLOWEST_RUN_M_S = 1.8
FASTEST_RUN_M_S = 5.0
FASTEST_MINUTE_M_S = 6.5  # 400 m in 62 s; even slow rides have faster minutes
MANY_GLITCHES = 0.1  # of the points; the cause is a car, not the receiver
GUESSED = "the file names no sport: taken for a run by its pace"

NAMED = "the file names no sport: taken for a run by its title"

# Words that mean "no sport" in files.
_NO_SPORT = frozenset({"", "unknown", "unspecified", "uncategorized", "track", "activity",
                       "generic", "workout", "default", "none", "null"})  # fmt: skip
# TCX has three sports; this one is for everything else.
_ANY_SPORT = "other"
# Strava's numbers in its own GPX files, and Samsung's exercise types.
_NUMBERS = {"1": "cycling", "4": "hiking", "9": "running", "10": "walking", "16": "swimming",
            "1001": "walking", "1002": "running", "11007": "cycling", "13001": "hiking",
            "14001": "swimming", "15003": "cycling", "15005": "treadmill"}  # fmt: skip
# The kind of run by parts of its name.
_REFINED: tuple[tuple[Sport, tuple[str, ...]], ...] = (
    ("trail", ("trail", "gelände", "terräng", "terreng", "maasto", "越野", "トレイル", "trilha")),
    ("treadmill", ("treadmill", "indoor", "laufband", "loopband", "bieżni", "løbebånd", "室内")),
    ("virtual", ("virtual",)),
    ("track", ("track",)),
)

_NAMES = {
    "biking": "a ride",
    "ride": "a ride",
    "walk": "a walk",
    "hike": "a hike",
    "swim": "a swim",
    "cycling": "a ride",
    "e_biking": "a ride",
    "walking": "a walk",
    "hiking": "a hike",
    "swimming": "a swim",
    "training": "a workout",
    "fitness_equipment": "a workout",
}
# Sports that are newer than fitparse's profile, by number: https://developer.garmin.com/fit/
_YOUNG = {49: "baseball", 53: "diving", 56: "shooting", 58: "winter sport", 62: "HIIT",
          64: "racket sport", 65: "wheelchair push walk", 66: "wheelchair push run",
          67: "meditation", 69: "disc golf", 70: "team sport", 71: "cricket", 72: "rugby",
          73: "hockey", 74: "lacrosse", 75: "volleyball", 76: "water tubing", 77: "wakesurfing",
          78: "water sport", 79: "archery", 80: "mixed martial arts", 81: "motor sports",
          82: "snorkeling", 83: "dance", 84: "jump rope", 85: "pool apnea", 86: "mobility",
          87: "geocaching", 88: "canoeing"}  # fmt: skip
_UNNAMED = ("generic", "", "None")
_UNNAMED_SPORT, _TOO_FAST = "no sport named", "too fast for a run"
_SHOWN = 40


def named_run(name: str) -> Sport | None:
    """The kind of run that a sport's name in a file or table means, None for anything else."""
    words = _words(name)
    return _kind(words) if type_means(words) == "run" else None


def titled_run(title: str) -> Sport | None:
    """The kind of run that a title mentions; None if it mentions none, or other sports too."""
    words = _words(title)
    return _kind(words) if title_means(words) == "run" else None


def _words(name: str) -> str:
    return _NUMBERS.get(name, name).casefold().replace("_", " ").replace("-", " ")


def _kind(words: str) -> Sport:
    for sport, parts in _REFINED:
        if any(part in words for part in parts):
            return sport
    return "run"


def not_a_run(sports: Sequence[object]) -> str:
    """Why activities of these sports aren't runs, such as "a ride (cycling), not a run"."""
    names = [_name(sport) for sport in dict.fromkeys(sports) if sport != "transition"]
    if len(names) > 1:
        return f"a multisport activity without a run ({', '.join(names)})"
    name = names[0] if names else ""
    if name in _UNNAMED:
        return "an activity of no named sport, not a run"
    words = name.replace("_", " ")
    return f"{_NAMES.get(name, 'another sport')} ({words}), not a run"


def _name(sport: object) -> str:
    if isinstance(sport, int):
        return _YOUNG.get(sport, f"sport number {sport}")
    name = str(sport).lower()
    return _NUMBERS.get(name, f"sport number {name}" if name.isdigit() else name)


def sport_told(
    name: str, track: Odometer, *, titles: Sequence[str] = ()
) -> tuple[Sport, str] | NotARun:
    """The kind of run by the name, else a title, else the pace; with a note for the last two."""
    if sport := named_run(name):
        return sport, ""
    is_any = name.casefold() == _ANY_SPORT
    if name.casefold() not in _NO_SPORT and not is_any:
        return NotARun(not_a_run([name]))
    return untold_sport(track, titles=titles, by_pace=not is_any) or NotARun(not_a_run([name]))


def untold_sport(
    track: Odometer, *, titles: Sequence[str] = (), by_pace: bool = True
) -> tuple[Sport, str] | NotARun | None:
    """The sport of an activity that names none, by its titles, else `by_pace`, else None.

    A run by its title may be slow, but not faster than people run.
    """
    sport: Sport | None = next(filter(None, map(titled_run, titles)), None)
    if sport:
        if _too_fast(track):
            return NotARun(f"{_UNNAMED_SPORT}, and {_TOO_FAST}")
        return sport, NAMED
    if other := next((t for t in titles if title_means(_words(t)) == "other"), None):
        return NotARun(f"{_UNNAMED_SPORT}, and titled {other[:_SHOWN]!r}")
    if not by_pace:
        return None
    reason = why_not_by_pace(track)
    return NotARun(reason) if reason else ("run", GUESSED)


def why_not_by_pace(track: Odometer) -> str | None:
    """Why a track that names no sport isn't a run; None if it looks like one."""
    if _too_fast(track):
        return f"{_UNNAMED_SPORT}, and {_TOO_FAST}"
    if _mean_m_s(track) < SLOWEST_RUN_M_S:
        return f"{_UNNAMED_SPORT}, and too slow for a run"
    return None


def rides(track: Odometer) -> bool:
    """True if the fastest minute is too fast for somebody on foot."""
    return track.fastest_m_s > FASTEST_MINUTE_M_S


def _mean_m_s(track: Odometer) -> float:
    return track.distance_m / track.moving_s if track.moving_s else 0.0


def _too_fast(track: Odometer) -> bool:
    return (
        _mean_m_s(track) > FASTEST_RUN_M_S
        or rides(track)
        or track.glitches > MANY_GLITCHES * track.points
    )
