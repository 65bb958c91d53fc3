"""The routine: the shipped steps to the letter, custom sets, recovery days, mistakes with lines."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.routine import Routine, RoutineError, Step, parse_routines, prescribe

SHIPPED_TEXT = (Path(__file__).parents[2] / "config" / "routine.example.toml").read_text("utf-8")
SHIPPED = parse_routines(SHIPPED_TEXT, name="config/routine.example.toml")
DAY = date(2026, 2, 21)
STEP = Step(key="a", title="A", why="", how="how", dose="once", when=("after",))


def keys(steps: tuple[Step, ...]) -> list[str]:
    """The names of steps."""
    return [step.key for step in steps]


def test_the_shipped_routine_has_the_four_steps_in_their_doses() -> None:
    """The therapist's routine, to the letter."""
    [routine] = SHIPPED
    doses = {step.key: step.dose for step in routine.steps}
    assert doses == {
        "brisk-walk": "5 minutes",
        "si-self-correction": "a gentle push of 5 to 6 seconds, 3 to 5 times, both sides",
        "pelvic-tilts": "about 10 slow ones",
        "piriformis-stretch": "hold 30 seconds, 3 repetitions",
    }


def keys_at(when: str, steps: Sequence[Step]) -> list[str]:
    """The steps of a time of day."""
    return [step.key for step in steps if when in step.when]


@pytest.mark.parametrize("pain", [(), ("knee",), ("shin", "foot")])
def test_without_pain_of_the_si_joint_there_are_walk_and_tilts(pain: tuple[str, ...]) -> None:
    """Two steps are for everybody."""
    steps = prescribe(SHIPPED, pain=pain, severity=3)
    assert keys_at("before", steps) == ["brisk-walk"]
    assert keys_at("after", steps) == keys_at("through the day", steps) == ["pelvic-tilts"]
    assert not any(step.not_when for step in steps)


@pytest.mark.parametrize("area", ["buttock", "low_back", "hip_front"])
def test_pain_of_the_si_joint_adds_the_self_correction(area: str) -> None:
    """Before the run and throughout the day; the stretch for the buttock only."""
    steps = prescribe(SHIPPED, pain=[area], severity=1)
    assert keys_at("before", steps) == ["brisk-walk", "si-self-correction"]
    assert keys_at("through the day", steps) == ["si-self-correction", "pelvic-tilts"]
    assert ("piriformis-stretch" in keys_at("after", steps)) == (area == "buttock")


def test_the_piriformis_stretch_is_never_before_a_run() -> None:
    """It comes after activity, and in the list of what not to do now."""
    steps = prescribe(SHIPPED, pain=["buttock"], severity=3)
    (stretch,) = [step for step in steps if step.key == "piriformis-stretch"]
    assert stretch.when == ("after",)
    assert [step for step in steps if step.not_when] == [stretch]


def test_an_own_set_adds_steps_and_replaces_those_of_the_same_key() -> None:
    """More specific wins: a set for an area overrides a general one, in any order."""
    own = Routine("Calf", (replace(STEP, key="brisk-walk", dose="8 minutes"), STEP), ("calf",))
    for routines in ((*SHIPPED, own), (own, *SHIPPED)):
        doses = {s.key: s.dose for s in prescribe(routines, pain=["calf"], severity=1)}
        assert doses["brisk-walk"] == "8 minutes"
        assert "a" in doses
    assert "a" not in keys(prescribe((*SHIPPED, own), pain=[], severity=1))


def test_a_set_for_grave_findings_waits_for_one() -> None:
    """Severity 3 includes it, 2 doesn't."""
    own = Routine("Grave", (STEP,), severity=3)
    assert keys(prescribe([own], pain=[], severity=3)) == ["a"]
    assert prescribe([own], pain=[], severity=2) == ()


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ('doze = "5 minutes"', 'dose = "5 minutes"', "unknown key 'doze'; did you mean 'dose'?"),
        (
            'areas = ["butt"]',
            'areas = ["buttock"]',
            "'butt' is none of them; did you mean 'buttock'?",
        ),
        ('when = ["befor"]', 'when = ["before"]', "did you mean 'before'?"),
        ("dose = 5", 'dose = "5 minutes"', "dose is a text in quotes"),
        ('dose = ""', 'dose = "5 minutes"', "dose is empty"),
        ('dose = "5 minutes', 'dose = "5 minutes"', "not valid TOML"),
        ("when = []", 'when = ["before"]', "at least one time"),
        ('key = "pelvic-tilts"', 'key = "brisk-walk"', "stands twice"),
    ],
)
def test_a_mistake_is_said_with_its_line(wrong: str, right: str, words: str) -> None:
    """File, line and what to write instead, in one line."""
    text = SHIPPED_TEXT.replace(right, wrong, 1)
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == wrong]
    with pytest.raises(RoutineError) as caught:
        parse_routines(text, name="routine.toml")
    said = str(caught.value)
    assert words in said
    assert "\n" not in said
    assert said.startswith(tuple(f"routine.toml:{line}:" for line in lines))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "routine.toml:1: a routine begins with [[routine]]"),
        ('[[routine]]\nname = "x"', "routine.toml:1: a routine needs at least one"),
        ('[[routine]]\nseverity = 4\n[[routine.step]]\nkey = "x"', "routine.toml:2: severity is"),
        ('[[routine]]\n\n[[routine.step]]\nkey = "x"', "routine.toml:3: a step needs 'title'"),
        ("[routines]", "unknown key 'routines'; did you mean 'routine'?"),
    ],
)
def test_what_is_missing_is_said_where_it_should_be(text: str, words: str) -> None:
    """A missing key is reported with the line of its table."""
    with pytest.raises(RoutineError) as caught:
        parse_routines(text, name="routine.toml")
    assert words in str(caught.value)


@pytest.mark.parametrize("wrong", ["title = 3", "when = 3"])
def test_a_mistake_in_a_translation_is_said_with_its_own_line(wrong: str) -> None:
    """The step has keys of the same names."""
    step = 'key = "a"\ntitle = "A"\nhow = "So."\ndose = "Once."\nwhen = ["before"]\n'
    text = f'[[routine]]\nname = "x"\n[[routine.step]]\n{step}'
    text += '[routine.step.words.fr]\ntitle = "B"\n[routine.step.words.de]\n' + wrong
    with pytest.raises(RoutineError, match=r"^routine.toml:12: "):
        parse_routines(text, name="routine.toml")


@pytest.mark.parametrize("video", ["http://x.example", "javascript:alert(1)", "https://x y", "x"])
def test_a_film_is_an_https_address(video: str) -> None:
    """No other scheme gets into a link."""
    text = SHIPPED_TEXT.replace('dose = "5 minutes"', f'dose = "5 minutes"\n  video = "{video}"')
    with pytest.raises(RoutineError, match="video is an address"):
        parse_routines(text, name="routine.toml")


@given(st.text(max_size=300))
def test_any_text_is_a_routine_or_a_mistake_with_a_line(text: str) -> None:
    """No input raises another error."""
    with pytest.raises(RoutineError, match=r"(?s)^r\.toml:\d+: "):
        parse_routines(text, name="r.toml")
