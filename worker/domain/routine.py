"""The routine: the therapist's steps for this runner.

Parses routines from TOML text, reports where a mistake is, and selects the steps by pain and
severity. Pure: it opens no file.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeGuard, get_args

from worker.domain.models import LANGUAGE, PAIN_AREAS
from worker.domain.shown import printable

_ROUTINE_KEYS = ("name", "areas", "severity", "step")
_STEP_KEYS = ("key", "title", "why", "how", "dose", "when", "areas", "not_when", "video",
              "picture", "words")  # fmt: skip
_TEXTS = tuple(key for key in _STEP_KEYS if key not in ("when", "areas", "words"))
PICTURES = ("brisk-walk", "si-self-correction", "pelvic-tilts", "piriformis-stretch")
"""The shipped pictures."""

_VIDEO = re.compile(r"https://[^\s\"'<>]+")
_OWN_PICTURE = re.compile(r"[\w][\w .-]*\.(png|jpe?g|svg)", re.IGNORECASE)
_SPOKEN = ("title", "why", "how", "dose", "not_when", "video")
_LANGUAGE = re.compile(LANGUAGE)
_NEEDED = ("key", "title", "how", "dose", "when")
_LONGEST_TEXT = 600


When = Literal["before", "after", "through the day"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a routine, for pain in one of its `areas`, or for everybody if they are empty.

    `picture` names a shipped picture, or a file in the routine's folder. `words` has its texts in
    other languages, by language and field.
    """

    key: str
    title: str
    why: str
    how: str
    dose: str
    when: tuple[When, ...]
    areas: tuple[str, ...] = ()
    not_when: str = ""
    video: str = ""
    picture: str = ""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Routine:
    """A therapist's set of steps, for pain in `areas` and findings from `severity` on."""

    name: str
    steps: tuple[Step, ...]
    areas: tuple[str, ...] = ()
    severity: int = 1


class Place(NamedTuple):
    """A place in the file: the routine and its step by number from 0, and the key.

    `language` is that of a table of translations, or None outside of these.
    """

    routine: int | None = None
    step: int | None = None
    language: str | None = None
    key: str | None = None


class RoutineError(ValueError):
    """A routine has a mistake; `place` says where."""

    def __init__(self, message: str, *, place: Place | None = None) -> None:
        super().__init__(message)
        self.place = place or Place()


def parse_routines(text: str, *, name: str) -> tuple[Routine, ...]:
    """The routines of a TOML text in their order; there is at least one.

    Raises:
        RoutineError: a mistake; its text begins `name:line:`.
    """
    try:
        tables = tomllib.loads(text)
        _refuse_unknown(tables, ("routine",), place=Place())
        entries = tables.get("routine")
        if not _is_tables(entries):
            raise RoutineError("a routine begins with [[routine]]; there is none")
        return tuple(_routine(entry, number) for number, entry in enumerate(entries))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        number = int(line[1]) if line else len(text.splitlines())
        raise RoutineError(f"{name}:{number}: not valid TOML: {error}") from error
    except RoutineError as error:
        line_number = _line_of(text, error.place)
        raise RoutineError(f"{name}:{line_number}: {error}", place=error.place) from error


def prescribe(
    routines: Sequence[Routine], *, pain: Sequence[str], severity: int
) -> tuple[Step, ...]:
    """The steps of all routines that apply to this pain and severity, in the order of the file.

    Of two steps with the same key the more specific one is used: that of a routine for an area
    before that of a general one, then that for the higher severity.
    """
    hurting = frozenset(pain)
    applying = [
        routine
        for routine in routines
        if routine.severity <= severity and (not routine.areas or hurting & set(routine.areas))
    ]
    chosen: dict[str, Step] = {}
    for routine in sorted(applying, key=lambda routine: (bool(routine.areas), routine.severity)):
        chosen |= {step.key: step for step in routine.steps}
    return tuple(step for step in chosen.values() if not step.areas or hurting & set(step.areas))


def in_language(step: Step, language: str) -> Step:
    """The step with its texts in this language; texts without a translation stay as they are."""
    spoken: Mapping[str, Any] = step.words.get(language, {})
    return replace(step, **spoken) if spoken else step


def _routine(entry: Mapping[str, Any], number: int) -> Routine:
    place = Place(number)
    _refuse_unknown(entry, _ROUTINE_KEYS, place=place)
    severity = entry.get("severity", 1)
    if type(severity) is not int or severity not in (1, 2, 3):
        raise RoutineError("severity is 1, 2 or 3", place=place._replace(key="severity"))
    entries = entry.get("step")
    if not _is_tables(entries):
        raise RoutineError("a routine needs at least one [[routine.step]]", place=place)
    steps: dict[str, Step] = {}
    for index, tables in enumerate(entries):
        step = _step(tables, Place(number, index))
        if step.key in steps:
            message = f"the key {step.key!r} stands twice in one routine"
            raise RoutineError(message, place=Place(number, index, key="key"))
        steps[step.key] = step
    return Routine(
        name=_text(entry, "name", place=place),
        steps=tuple(steps.values()),
        areas=_words(entry, "areas", PAIN_AREAS, place=place),
        severity=severity,
    )


def _step(entry: Mapping[str, Any], place: Place) -> Step:
    _refuse_unknown(entry, _STEP_KEYS, place=place)
    for key in _NEEDED:
        if key not in entry:
            raise RoutineError(f"a step needs {key!r}", place=place)
    when = _words(entry, "when", get_args(When), place=place)
    if not when:
        raise RoutineError("when names at least one time", place=place._replace(key="when"))
    return Step(
        **{key: _text(entry, key, place=place) for key in _TEXTS},
        when=when,
        areas=_words(entry, "areas", PAIN_AREAS, place=place),
        words=_spoken(entry, place=place),
    )


def _spoken(entry: Mapping[str, Any], *, place: Place) -> dict[str, dict[str, str]]:
    """The step's texts in other languages: tables `[routine.step.words.de]`."""
    tables, here = entry.get("words", {}), place._replace(key="words")
    if not isinstance(tables, dict):
        raise RoutineError("words are tables such as [routine.step.words.de]", place=here)
    spoken: dict[str, dict[str, str]] = {}
    for language, table in tables.items():
        if not _LANGUAGE.fullmatch(language) or not isinstance(table, dict):
            message = f"words.{language} is no table of a language such as [routine.step.words.de]"
            raise RoutineError(message, place=here)
        inside = place._replace(language=language)
        _refuse_unknown(table, _SPOKEN, place=inside)
        spoken[language] = {key: _text(table, key, place=inside) for key in table}
    return spoken


def _text(entry: Mapping[str, Any], key: str, *, place: Place) -> str:
    text, here = entry.get(key, ""), place._replace(key=key)
    if not isinstance(text, str):
        raise RoutineError(f"{key} is a text in quotes", place=here)
    text = re.sub(r"[ \t\r\n]+", " ", text).strip()  # keeps non-breaking spaces
    if key in entry and key in (*_NEEDED, "name") and not text:
        raise RoutineError(f"{key} is empty", place=here)
    if len(text) > _LONGEST_TEXT:
        raise RoutineError(f"{key} is longer than {_LONGEST_TEXT} characters", place=here)
    if printable(text) != text:
        raise RoutineError(f"{key} holds a character that can't be printed", place=here)
    if key == "video" and text and not _VIDEO.fullmatch(text):
        raise RoutineError("video is an address that begins https://", place=here)
    is_picture = not text or text in PICTURES or _OWN_PICTURE.fullmatch(text)
    if key == "picture" and not is_picture:
        raise RoutineError(
            "picture is the name of a PNG, JPEG or SVG file beside this one, or of a shipped "
            f"picture{_nearest(text, PICTURES)}",
            place=here,
        )
    return text


def _words(
    entry: Mapping[str, Any], key: str, allowed: Sequence[Any], *, place: Place
) -> tuple[Any, ...]:
    words, here = entry.get(key, []), place._replace(key=key)
    if not isinstance(words, list):
        raise RoutineError(f'{key} is a list such as ["{allowed[0]}"]', place=here)
    for word in words:
        if word not in allowed:
            message = f"{key}: {word!r} is none of them{_nearest(word, allowed)}"
            raise RoutineError(message, place=here)
    return tuple(words)


def _refuse_unknown(entry: Mapping[str, Any], known: Sequence[str], *, place: Place) -> None:
    for key in entry:
        if key not in known:
            message = f"unknown key {key!r}{_nearest(key, known)}"
            raise RoutineError(message, place=place._replace(key=key))


def _nearest(word: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _is_tables(entries: object) -> TypeGuard[list[dict[str, Any]]]:
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(isinstance(entry, dict) for entry in entries)
    )


def _line_of(text: str, place: Place) -> int:
    """The line of a mistake: that of the key, else of its table's heading, else the first."""
    found, here = 1, Place()
    for number, line in enumerate(text.splitlines(), start=1):
        heading = re.match(r"\s*\[\[\s*routine\s*(\.\s*step\s*)?\]\]", line)
        words = re.match(r"\s*\[\s*routine\s*\.\s*step\s*\.\s*words\s*\.\s*([\w-]+)", line)
        if heading and heading[1]:
            here = Place(here.routine, 0 if here.step is None else here.step + 1)
        elif heading:
            here = Place(0 if here.routine is None else here.routine + 1)
        elif words:
            here = here._replace(language=words[1])
        if here[:2] != place[:2] or here.language not in (None, place.language):
            continue
        if heading or words:
            found = number
        if here.language != place.language:
            continue
        if place.key and re.match(rf"\s*[\"']?{re.escape(place.key)}[\"']?\s*=", line):
            return number
    return found
