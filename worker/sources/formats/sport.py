"""Which sports count as running, and how to say that one doesn't.

Where a file names no sport, its pace decides, as a runner looking at it would.
"""

import re
from collections.abc import Sequence

from worker.domain.models import Sport
from worker.sources import NotARun
from worker.sources.formats.track import Odometer

# An untyped track's mean speed that a runner would call a run: 9:15 to 3:20 min/km.
SLOWEST_RUN_M_S = 1.8
FASTEST_RUN_M_S = 5.0
FASTEST_MINUTE_M_S = 6.5  # 400 m in 62 s; rides at a runner's mean speed have faster ones
MANY_GLITCHES = 0.1  # of the points: it wasn't the receiver, it was a car
GUESSED = "the file names no sport: taken for a run by its pace"

# What files that name their sports in words call none.
_NO_SPORT = frozenset({"", "unknown", "unspecified", "uncategorized", "track", "activity"})
# Strava's numbers in its own GPX files.
_NUMBERS = {"1": "cycling", "4": "hiking", "9": "running", "10": "walking", "16": "swimming"}
# As apps write it, in the languages they are used in; German's "Langlauf" is on skis.
_RUN = re.compile(
    r"run(ning)?$|\b(run|runs|running|jog|jogging|lauf|laufen|traillauf|joggen|course [aà] pied"
    r"|courir|correr|carrera|corrida|corsa|hardlopen|löpning|løb|løping|løpetur|bieg|bieganie|běh"
    r"|juoksu|koşu|бег|跑步|ランニング|ラン|달리기)\b"  # noqa: RUF001  # it's meant to be Cyrillic
)
_NO_RUN = re.compile(r"wheelchair|swim|ski|bike|transition")
_REFINED: tuple[tuple[str, Sport], ...] = (
    ("trail", "trail"), ("treadmill", "treadmill"), ("indoor", "treadmill"),
    ("virtual", "virtual"), ("track", "track"),
)  # fmt: skip

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
# Sports younger than fitparse's profile, by number: https://developer.garmin.com/fit/
_YOUNG = {49: "baseball", 53: "diving", 56: "shooting", 58: "winter sport", 62: "HIIT",
          64: "racket sport", 65: "wheelchair push walk", 66: "wheelchair push run",
          67: "meditation", 69: "disc golf", 70: "team sport", 71: "cricket", 72: "rugby",
          73: "hockey", 74: "lacrosse", 75: "volleyball", 76: "water tubing", 77: "wakesurfing",
          78: "water sport", 79: "archery", 80: "mixed martial arts", 81: "motor sports",
          82: "snorkeling", 83: "dance", 84: "jump rope", 85: "pool apnea", 86: "mobility",
          87: "geocaching", 88: "canoeing"}  # fmt: skip
_UNNAMED = ("generic", "", "None")


def named_run(name: str) -> Sport | None:
    """The kind of run that a sport's name in a GPX or TCX file means, None for anything else."""
    words = _NUMBERS.get(name, name).lower().replace("_", " ").replace("-", " ")
    if not _RUN.search(words) or _NO_RUN.search(words):
        return None
    return next((sport for word, sport in _REFINED if word in words), "run")


def not_a_run(sports: Sequence[object]) -> str:
    """Why activities of these sports aren't runs: "a ride (cycling), not a run"."""
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


def sport_told(name: str, track: Odometer) -> tuple[Sport, str] | NotARun:
    """The kind of run that a name or else the pace says, with a note where it's the pace's."""
    if sport := named_run(name):
        return sport, ""
    if name.lower() not in _NO_SPORT:
        return NotARun(not_a_run([name]))
    reason = why_not_by_pace(track)
    return NotARun(reason) if reason else ("run", GUESSED)


def why_not_by_pace(track: Odometer) -> str | None:
    """Why a track that names no sport isn't a run, None where it looks like one."""
    speed_m_s = track.distance_m / track.moving_s if track.moving_s else 0.0
    if (
        speed_m_s > FASTEST_RUN_M_S
        or track.fastest_m_s > FASTEST_MINUTE_M_S
        or track.glitches > MANY_GLITCHES * track.points
    ):
        return "no sport named, and too fast for a run"
    if speed_m_s < SLOWEST_RUN_M_S:
        return "no sport named, and too slow for a run"
    return None
