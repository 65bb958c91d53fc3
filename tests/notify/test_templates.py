"""The operator's templates override the shipped ones; cleaning text for mails."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, Environment

from simulators import mail_facts as made
from simulators.mail_lint import lint
from worker.domain.shown import tenths, tenths_down
from worker.notify import Composer
from worker.notify.environments import CompiledTemplates, ratio_digits
from worker.notify.render import SHIPPED, Locale, TemplateLoader, clean, fold
from worker.notify.words import Catalogue


def put(folder: Path, name: str, text: str) -> Path:
    """Write a custom template."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return folder


class CountingEnvironment(Environment):
    """Counts the templates that it had to compile."""

    compiled = 0

    def compile(self, *given: object, **named: object) -> object:
        self.compiled += 1
        return super().compile(*given, **named)  # type: ignore[call-overload]  # passed along


def compiled_by_another_process(folder: Path) -> int:
    """How many templates another process would compile for a greeting."""
    environment = CountingEnvironment(
        loader=DictLoader({"greeting": "Hello {{ name }}"}),
        bytecode_cache=CompiledTemplates("text", folder),
    )
    assert environment.get_template("greeting").render(name="Ada") == "Hello Ada"
    return environment.compiled


def test_what_one_process_compiled_the_next_ones_find(tmp_path: Path) -> None:
    """Also those of other users, who may only read the cache."""
    assert compiled_by_another_process(tmp_path / "new") == 1
    assert compiled_by_another_process(tmp_path / "new") == 0
    (kept,) = (tmp_path / "new").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("left", [0, 1, 12, 40])
def test_compiled_templates_that_were_cut_off_are_made_anew(tmp_path: Path, left: int) -> None:
    """As after a power cut."""
    assert compiled_by_another_process(tmp_path) == 1
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:left])
    assert compiled_by_another_process(tmp_path) == 1
    assert compiled_by_another_process(tmp_path) == 0


def test_where_nothing_can_be_kept_each_process_compiles(tmp_path: Path) -> None:
    """A file is in the cache folder's place."""
    (tmp_path / "file").touch()
    assert compiled_by_another_process(tmp_path / "file") == 1
    assert compiled_by_another_process(tmp_path / "file") == 1


def test_shipped_templates_are_kept_compiled_and_own_ones_are_not(tmp_path: Path) -> None:
    """A custom template is compiled for a sandbox."""
    assert isinstance(TemplateLoader().markup.bytecode_cache, CompiledTemplates)
    put(tmp_path, "weekly/subject.txt", "{{ name }}")
    assert TemplateLoader(tmp_path).markup.bytecode_cache is None


def test_an_own_template_takes_the_place_of_one_and_only_one(tmp_path: Path) -> None:
    """The subject is the operator's, the body is the shipped one."""
    put(tmp_path, "weekly/subject.txt", "{{ name }} ran {{ words.runs(week.runs) }}")
    composer = Composer(templates=tmp_path)
    assert composer.check() == ()
    email = composer.weekly(made.weekly_facts())
    assert email.subject == "Ada Lindqvist ran 3 runs"
    assert email.text == Composer().weekly(made.weekly_facts()).text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ nobody_knows_me }}", "nobody_knows_me"),
        ("{% if %}", "line 1"),
        ("{{ words.__class__.__mro__ }}", "unsafe"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ words.weekdays.append(1) }}", "weekly/subject.txt"),
    ],
)
def test_a_broken_template_is_put_aside_and_reported(
    tmp_path: Path, source: str, reason: str
) -> None:
    """The mail is sent with the shipped template, and `broken` has the file and the reason."""
    put(tmp_path, "weekly/subject.txt", source)
    composer = Composer(templates=tmp_path)
    email = composer.weekly(made.weekly_facts())
    assert email == Composer().weekly(made.weekly_facts())
    [broken] = composer.broken
    assert broken.startswith("weekly/subject.txt")
    assert reason in broken


def test_checking_tells_one_broken_template_from_a_good_one(tmp_path: Path) -> None:
    """One mistake disables one template: the good one beside it stays in use."""
    put(tmp_path, "weekly/subject.txt", "My week")
    put(tmp_path, "weekly/body.txt", "{{ nothing }}")
    composer = Composer(templates=tmp_path)
    assert [line.partition(" ")[0] for line in composer.check()] == ["weekly/body.txt:"]
    email = composer.weekly(made.weekly_facts())
    assert email.subject == "My week"
    assert "22.5 km in 3 runs" in email.text


def test_a_template_that_only_some_mails_break_is_put_aside_then(tmp_path: Path) -> None:
    """A mistake that the check didn't find doesn't stop a mail either."""
    source = "{% if week.runs == 3 and mean_m and mean_m < 14000 %}{{ oops }}{% endif %}Week"
    put(tmp_path, "weekly/subject.txt", source)
    composer = Composer(templates=tmp_path)
    assert composer.check() == ()
    assert composer.weekly(made.weekly_facts()).subject.startswith("Your week")
    assert len(composer.broken) == 1


@pytest.mark.parametrize("name", ["chart/bars.svg", "words/en.jinja"])
@pytest.mark.parametrize("source", ["{{ nothing }}", "{% if %}"])
def test_a_broken_chart_or_catalogue_is_put_aside_too(
    tmp_path: Path, name: str, source: str
) -> None:
    """A chart's drawing and wording are overridable like a mail's body."""
    composer = Composer(templates=put(tmp_path, name, source))
    assert composer.alert(made.alert_facts()) == Composer().alert(made.alert_facts())
    [broken] = composer.broken
    assert broken.startswith(name)


def test_a_template_that_cannot_be_read_is_put_aside_too(tmp_path: Path) -> None:
    """Mails are sent without it."""
    (tmp_path / "weekly").mkdir()
    (tmp_path / "weekly" / "subject.txt").symlink_to("/proc/self/mem")
    composer = Composer(templates=tmp_path)
    assert composer.weekly(made.weekly_facts()) == Composer().weekly(made.weekly_facts())
    assert composer.broken == ("weekly/subject.txt: can't be read: Input/output error",)


def test_a_file_that_no_mail_uses_is_reported(tmp_path: Path) -> None:
    """Otherwise a misspelt name would silently have no effect."""
    put(tmp_path, "alert/body.htm.txt", "x")
    assert Composer(templates=tmp_path).broken == (
        "alert/body.htm.txt: no template of this name is used",
    )


def test_a_sentence_can_be_reworded_in_the_catalogue_alone(tmp_path: Path) -> None:
    """One custom catalogue changes both parts."""
    shipped = (SHIPPED / "words" / "en.jinja").read_text("utf-8")
    put(tmp_path, "words/en.jinja", shipped.replace("What it means", "What that tells us"))
    composer = Composer(templates=tmp_path)
    assert composer.check() == ()
    email = composer.alert(made.alert_facts())
    assert "WHAT THAT TELLS US" in email.text
    assert "What that tells us" in email.html
    lint(email)


@given(st.text(max_size=400))
def test_cleaned_text_is_one_short_line_that_turns_nothing_round(text: str) -> None:
    """For any input: at most 80 characters, nothing that breaks or reverses a line."""
    line = clean(text)
    assert len(line) <= 80
    assert line == line.strip()
    assert not set(line) & set("\r\n\t\0\x0b\x0c\x85\u2028\u2029\u202e\u2066\u200e\ufeff")
    assert clean(line) == line


@given(st.lists(st.text("abc d", max_size=200), max_size=8))
def test_folding_loses_no_word(lines: list[str]) -> None:
    """Lines get short, words stay, and there are never several empty lines in a row."""
    folded = fold("\n".join(lines))
    assert folded.split() == " ".join(lines).split()
    assert "\n\n\n" not in folded
    for line in folded.splitlines():
        assert len(line) <= 76 or " " not in line.strip()


@given(st.floats(0, 1000))
def test_a_ceiling_never_rounds_up(value: float) -> None:
    """An upper limit is rounded down or left as it is."""
    assert float(tenths_down(value)) <= value + 1e-6
    assert float(tenths_down(value)) > value - 0.1 - 1e-6
    assert abs(float(tenths(value)) - value) <= 0.05 + 1e-9


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(1.12, "1.12"), (1.194, "1.19"), (1.199, "1.2"), (1.25, "1.3"), (1.596, "1.6"), (2.0, "2.0")],
)
def test_a_ratio_just_over_its_rule_is_said_in_hundredths(ratio: float, said: str) -> None:
    """1.12 must not be shown as 1.1, which is the rule itself."""
    assert ratio_digits(ratio) == said


def test_a_reason_is_told_without_the_setting_behind_it() -> None:
    """Names of settings are for `explain`, not for mails."""
    reason = "the run was 4 days ago (mail_within_days = 3)"
    assert Catalogue({}).reason(reason) == "the run was 4 days ago"


def test_a_measure_is_never_torn_apart() -> None:
    """A number and its unit stay on one line, joined by a plain space."""
    folded = fold("x" * 72 + " 14.2\u00a0km")
    assert folded.splitlines()[1] == "14.2 km"


def catalogue(language: str) -> dict[str, object]:
    """The macros and sentences of a language's file, without any fallback."""
    return TemplateLoader().sentences("text", Locale(language), f"words/{language}.jinja")


def test_every_sentence_is_there_in_every_language() -> None:
    """A translation has each macro with the same arguments, and each list with the same keys."""
    english = catalogue("en")
    for language in TemplateLoader().languages:
        spoken = catalogue(language)
        assert set(english) - set(spoken) == set()
        for name, value in english.items():
            theirs = spoken[name]
            assert getattr(theirs, "arguments", None) == getattr(value, "arguments", None), name
            if isinstance(value, dict) and name != "reasons":
                assert isinstance(theirs, dict)
                assert set(theirs) == set(value), name


def test_every_sentence_of_the_catalogue_is_used() -> None:
    """Unused sentences would be translated for nothing."""
    english = SHIPPED / "words" / "en.jinja"
    templates = [
        path.read_text("utf-8")
        for path in SHIPPED.rglob("*.*")
        if path.suffix not in (".otf", ".png") and path.parent != english.parent
    ]
    rooms = (SHIPPED.parent, SHIPPED.parents[1] / "web")
    code = [path.read_text("utf-8") for room in rooms for path in room.glob("*.py")]
    defined = english.read_text("utf-8")
    for name in catalogue("en"):
        once = rf"\b{name}\b"
        is_used = re.search(once, "\n".join(templates + code))
        assert is_used or len(re.findall(once, defined)) > 1, name


@pytest.mark.parametrize("kind", ["run", "return", "ramp"])
def test_german_mails_pass_the_same_lint(kind: str) -> None:
    """Whole mails with decimal commas."""
    composer = Composer(language="de", checkins=True)
    email = composer.alert(made.alert_facts(kind))
    lint(email)
    lint(composer.weekly(made.week_after_the_jump()))
    lint(composer.weekly(made.quiet_week()))
    assert 'lang="de"' in email.html
    assert re.search(r"\d,\d km", email.subject)


def test_a_language_without_a_catalogue_is_refused() -> None:
    """At once, with the list of languages."""
    with pytest.raises(ValueError, match="there are: de, en"):
        Composer(language="tlh")


def test_an_own_catalogue_brings_an_own_language(tmp_path: Path) -> None:
    """A club may use its own wording."""
    english = (SHIPPED / "words" / "en.jinja").read_text("utf-8")
    put(tmp_path, "words/club.jinja", english.replace("What it means", "Heads up"))
    composer = Composer(templates=tmp_path, language="club")
    assert "HEADS UP" in composer.alert(made.alert_facts()).text
    assert composer.check() == ()
