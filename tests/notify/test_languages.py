"""Every mail in each language: complete, without another language, with the right formats."""

import re
from dataclasses import replace
from datetime import date, time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from simulators import mail_facts as made
from simulators.mail_lint import lint
from simulators.mails import MAILS
from simulators.speech import faults, told
from tests.app import TODAY, App, recording, steady
from worker.app import UNUSED_KEYS, build_composer, shipped_file
from worker.config import Settings, SettingsError
from worker.domain.models import Email, WeeklyHour
from worker.domain.routine import parse_routines
from worker.notify import Composer
from worker.notify.render import SHIPPED, SHIPPED_LANGUAGES, Locale, TemplateLoader
from worker.notify.samples import sample_facts
from worker.notify.words import Catalogue, preferred

LOADER = TemplateLoader()
OTHERS = [language for language in SHIPPED_LANGUAGES if language != "en"]
TRANSLATED = [name for name in MAILS if name != "notice"]


def sentences(language: str) -> dict[str, Any]:
    """The definitions of a language's file, without any fallback."""
    return LOADER.sentences("text", Locale(language), f"words/{language}.jinja")


@cache
def speaker(language: str = "en") -> Composer:
    """Shared, as templates are slow to load and a composer holds no state of a mail."""
    return Composer(checkins=True, language=language)


def words(language: str) -> Catalogue:
    return LOADER.words("text", Locale(language))


def plain(text: object) -> str:
    """With plain spaces, to compare."""
    return re.sub("[\u00a0\u202f]", " ", str(text))


def wrong_in(email: Email, language: str) -> list[str]:
    """Everything that isn't in this language in a mail's subject, text and HTML."""
    parts = {
        "text": f"{email.subject}.\n{email.text}",
        "html": told(email.html, language),
    }
    return [f"{part}: {fault}" for part, text in parts.items() for fault in faults(text, language)]


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
@pytest.mark.parametrize("name", TRANSLATED)
def test_a_mail_is_in_the_language_of_its_athlete_to_the_last_word(
    name: str, language: str
) -> None:
    """Each mail in each state: subject, text, HTML, alternative texts."""
    email = MAILS[name](speaker(language))
    lint(email)
    assert f'<html lang="{language}"' in email.html
    assert wrong_in(email, language) == []


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_the_samples_speak_each_language_too(language: str) -> None:
    """The states that the made mails don't have: every kind of week, every change of a plan."""
    own = {"A. Runner", "A file couldn't be read.", "old", "Brisk walk", "Walk", "5 minutes",
           "Readies you to run.", "Never after."}  # fmt: skip
    for kind, facts in sample_facts(language):
        if kind == "notice":
            continue
        email = getattr(speaker(language), kind)(facts)
        text = email.text
        for name in own:
            text = text.replace(name, "X")
        assert faults(text, language) == [], (kind, email.subject)


def test_the_operator_is_written_to_in_english_like_all_that_they_read() -> None:
    """Errors are worded as in the commands, so the text around them is English too."""
    email = speaker("de").notice(made.notice_facts())
    assert 'lang="en"' in email.html
    assert faults(email.text, "en") == []


def test_each_athlete_is_written_to_in_the_language_they_chose() -> None:
    """One composer, three languages; without a choice, or with a language whose file is gone, the
    operator's language is used.
    """
    composer = speaker("de")
    said = {
        language: composer.weekly(made.weekly_facts(runner=made.athlete(language=language))).subject
        for language in ("", "en", "de", "fr", "nl")
    }
    assert {language: subject.partition(":")[0].strip() for language, subject in said.items()} == {
        "": "Deine Woche", "en": "Your week", "de": "Deine Woche", "fr": "Ta semaine",
        "nl": "Deine Woche",
    }  # fmt: skip


def test_a_mail_on_the_wire_is_in_the_language_that_the_store_has(app: App) -> None:
    """From an incoming run to the sent mail, whose decoded subject is complete."""
    anna = app.athlete(language="fr")
    app.runs(anna, steady(until=TODAY, weeks=10))
    app.arrive(anna, recording(km=14.2))
    app.pass_on()

    [mail] = [mail for mail in app.mailer.taken if mail["X-Easeback-Kind"] == "alert"]
    assert re.fullmatch(
        r"14,2 km \w+\u202f: 1,8 fois ta plus longue course du dernier mois", str(mail["Subject"])
    )
    part = mail.get_body(("plain",))
    assert part is not None
    assert faults(part.get_content(), "fr") == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_all_that_english_has(language: str) -> None:
    """Each macro has the same arguments, each list the same length, each table the same keys."""
    english, spoken = sentences("en"), sentences(language)
    assert set(english) - set(spoken) == set()
    for name, value in english.items():
        theirs = spoken[name]
        assert type(theirs) is type(value), name
        assert getattr(theirs, "arguments", None) == getattr(value, "arguments", None), name
        assert getattr(theirs, "defaults", None) == getattr(value, "defaults", None), name
        if isinstance(value, list):
            assert len(theirs) == len(value), name
        if isinstance(value, dict) and name != "reasons":
            assert list(theirs) == list(value), name
        if isinstance(value, str):
            assert bool(theirs) == bool(value), name


def test_reasons_have_the_same_figures_in_each_language() -> None:
    """Each language has every reason, and none of their figures is made up."""
    keys = [list(sentences(language)["reasons"]) for language in OTHERS]
    assert all(set(one) == set(keys[0]) for one in keys)
    assert set(sentences("en")["reasons"]) <= set(keys[0])
    for language in SHIPPED_LANGUAGES:
        for pattern, sentence in sentences(language)["reasons"].items():
            figures = set(re.findall(r"\{(\w+)", sentence))
            assert figures <= set(re.findall(r"\{(\w+)\}", pattern)), pattern
            macros = set(re.findall(r"\{\w+:(\w+)\}", sentence)) - {"reason"}
            assert macros <= set(sentences(language)), sentence


@pytest.mark.parametrize(
    ("language", "none", "one", "two", "day", "off"),
    [
        ("en", "0 runs", "1 run", "2 runs", "1 day", "1 day off"),
        ("de", "0 Läufe", "1 Lauf", "2 Läufe", "1 Tag", "1 Tag Pause"),
        ("fr", "0 course", "1 course", "2 courses", "1 jour", "1 jour d’arrêt"),
    ],
)
def test_what_is_counted_is_in_the_right_number(
    language: str, none: str, one: str, two: str, day: str, off: str
) -> None:
    """In French zero is singular."""
    said = words(language)
    assert [plain(said.runs(n)) for n in (0, 1, 2)] == [none, one, two]
    assert plain(said.days(1)) == day
    assert plain(said.off(1)) == off


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("en", "Your week: 5.0 km in 1 run, longest 5.0"),
        ("de", "Deine Woche: 5,0 km in 1 Lauf, längster 5,0"),
        ("fr", "Ta semaine : 5,0 km en 1 course, la plus longue 5,0"),
    ],
)
def test_a_week_with_one_run_has_one(language: str, subject: str) -> None:
    facts = made.weekly_facts()
    week = replace(facts.weeks[-1], distance_m=5_000, runs=1, longest_m=5_000)
    email = speaker(language).weekly(replace(facts, weeks=(*facts.weeks[:-1], week)))
    assert plain(email.subject) == subject


@pytest.mark.parametrize(
    ("language", "day", "short", "clock", "noon", "kilometres", "duration"),
    [
        ("en", "Sunday 1 March", "Sun 1 Mar", "7:05", "12:30 pm", "14.2 km", "2:05 h"),
        ("de", "Sonntag, 1. März", "So 1. März", "7:05 Uhr", "12:30 Uhr nachmittags", "14,2 km",
         "2:05 h"),
        ("fr", "dimanche 1er mars", "dim. 1er mars", "7 h 05", "12 h 30 de l’après-midi", "14,2 km",
         "2 h 05"),
    ],
)  # fmt: skip
def test_days_hours_and_numbers_follow_the_languages_habits(
    language: str, day: str, short: str, clock: str, noon: str, kilometres: str, duration: str
) -> None:
    """As in CLDR by Babel, except for deliberately shorter forms."""
    said = words(language)
    twelve = LOADER.words("text", Locale(language, clock="12"))
    first = date(2026, 3, 1)
    assert plain(said.full_date(first)) == day
    assert plain(said.day_date(first)) == short
    assert plain(said.clock_time(time(7, 5))) == clock
    assert plain(twelve.clock_time(time(12, 30))) == noon
    assert plain(said.distance(14_200)) == kilometres
    assert plain(said.hours(7_500)) == duration
    assert day.split(maxsplit=1)[0].strip(",").lower() in str(said.comes_at(WeeklyHour(6))).lower()


@pytest.mark.parametrize("language", OTHERS)
def test_the_shipped_routine_is_there_whole_in_each_language(language: str) -> None:
    """Every text of every step is in that language."""
    text = shipped_file("routine.example.toml").read_text("utf-8")
    for routine in parse_routines(text, name="shipped"):
        for step in routine.steps:
            spoken = step.words[language]
            english = {
                "title": step.title, "why": step.why, "how": step.how, "dose": step.dose,
                "not_when": step.not_when,
            }  # fmt: skip
            assert set(spoken) == {name for name, value in english.items() if value}
            wrong = faults(". ".join(spoken.values()), language)
            assert wrong == [], step.key


def test_a_reason_is_said_in_the_readers_words() -> None:
    """With the right plural forms; an unknown reason is quoted and marked as English."""
    german, french = words("de"), words("fr")
    reason = "the run was 1 days ago (mail_within_days = 0)"
    assert plain(german.reason(reason)) == "der Lauf war bei seiner Ankunft schon 1 Tag alt"
    assert plain(french.reason(reason)) == "la course datait déjà de 1 jour à son arrivée"
    nested = "such a run can't be counted: it is dated in the future"
    assert (
        german.sentence(nested)
        == "So ein Lauf kann nicht zählen (sein Datum liegt in der Zukunft)."
    )
    assert german.sentence("the moon is full") == "Näheres nur auf Englisch: „the moon is full“."
    assert words("en").sentence("the moon is full") == "The moon is full."


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("nl,fr;q=0.8,en;q=0.9", "en"),
        ("fr-CA", "fr"),
        ("FR", "fr"),
        ("de;q=0,en;q=0.1", "en"),
        ("nl, es;q=0.5, *;q=0.1", None),
        ("", None),
        (";;;,q=,de;q=x", None),
        ("x" * 10_000 + ",de", "de"),
    ],
)
def test_a_browser_is_given_the_language_it_would_rather_have(
    asked: str, given: str | None
) -> None:
    """By quality values, with regions mapped to their language; invalid input is ignored."""
    assert preferred(asked, SHIPPED_LANGUAGES) == given


def test_an_operator_can_say_one_sentence_otherwise(tmp_path: Path) -> None:
    """A file with that sentence alone, based on the shipped ones; the others stay."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "de.jinja").write_text(
        "{%- macro weekly_subject(week, too_little, unseen=()) %}Moin: "
        "{{ distance(week.distance_m) }}{% endmacro -%}"
        '{%- set meaning_title = "Heißt das was?" -%}',
        "utf-8",
    )
    composer = Composer(templates=tmp_path, language="de")
    assert composer.check() == ()
    assert composer.weekly(made.weekly_facts()).subject == "Moin: 22,5 km"
    text = composer.alert(made.alert_facts()).text
    assert "HEISST DAS WAS?" in text
    assert "DEINE NÄCHSTEN SIEBEN TAGE" in text


def test_a_language_of_the_operators_lacks_nothing(tmp_path: Path) -> None:
    """Missing sentences are taken from English; the mail is sent."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "nl.jinja").write_text(
        '{%- set decimal = "," -%}{%- set motto = "terug" -%}'
    )
    composer = Composer(templates=tmp_path)
    assert composer.check() == ()
    email = composer.weekly(made.weekly_facts(runner=made.athlete(language="nl")))
    assert 'lang="nl"' in email.html
    assert "terug" in email.html
    assert email.subject.startswith("Your week")


def test_a_sentence_that_a_language_lacks_is_said_in_english() -> None:
    """The mail is sent; if English lacks it too, it's an error in the template."""
    german = words("de")
    catalogue = Catalogue({"motto": "führt dich behutsam zurück"}, lambda: words("en"))
    assert catalogue.motto == german.motto
    assert catalogue.saved == "Saved."
    with pytest.raises(AttributeError, match="nobody"):
        _ = catalogue.nobody


def test_a_setting_that_names_no_language_is_one_line_that_says_which_there_are() -> None:
    """Before anything is composed."""
    settings = Settings(mail={"language": "tlh"})
    with pytest.raises(SettingsError, match=r"^\[mail\] language: .*there are: de, en, fr$"):
        build_composer(settings, None, UNUSED_KEYS)


def test_a_shipped_catalogue_is_where_the_templates_are() -> None:
    assert SHIPPED_LANGUAGES == ("de", "en", "fr")
    assert (SHIPPED / "words").is_dir()
