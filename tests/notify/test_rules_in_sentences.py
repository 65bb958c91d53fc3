"""The numbers in sentences are the operator's rules, in mails, on the page and in `explain`."""

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from simulators import mail_facts as made
from simulators.web_instance import instance, run_winter
from tests.app import TODAY, App, recording, run_file, steady
from tests.command import easeback
from worker.domain.history import History
from worker.domain.models import Email, Units
from worker.domain.planner import recovery
from worker.domain.rules import Rules
from worker.notify import Composer, Noticed

OTHER = Rules(
    run_over=1.05,
    run_window_days=21,
    run_history_days=53,
    return_over=1.07,
    return_break_days=12,
    ramp_days=9,
    ramp_window_days=40,
    ramp_history_days=55,
    season_volume_days=35,
    mail_every_days=11,
    month_days=35,
    month_window_days=77,
    recovery_easy_days=5,
    plan_spare_weeks=3,
)
"""Every rule that a sentence mentions, with another value."""

DEFAULTS = {
    "en": r"30 days|month|\b42\b|six weeks|\b7 days|last six|biggest week|\b14 days|\b4 days"
    r"|four weeks to|of four weeks|\b10%",
    "de": r"30 Tage|Monat|\b42\b|sechs Wochen|\b7 Tage|letzten sechs|größten Woche|\b14 Tage"
    r"|\b4 Tage|vier Wochen bis|aus vier Wochen|\b10 %",
}
"""The default values in sentences about the rules."""

OF_A_STUDY = re.compile(r"5[,.]205|874|studied|[Uu]ntersucht|1[,.]000")
"""A study's own numbers aren't settings: its sentences keep them."""


@pytest.fixture(scope="module", params=["en", "de"])
def speaker(request: pytest.FixtureRequest) -> Composer:
    return Composer(language=request.param)


def sentences(email: Email) -> str:
    """The mail's subject and text on one line, without sentences about studies."""
    said = " ".join(f"{email.subject}. {email.text}".split())
    parts = re.split(r"(?<=[.:]) ", said)
    return " ".join(part for part in parts if not OF_A_STUDY.search(part))


def default_numbers(email: Email) -> list[str]:
    language = "de" if "Deine" in email.text else "en"
    return re.findall(DEFAULTS[language], sentences(email))


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("run", ["21", "9", "40", "11", "5"]),
        ("return", ["11", "5"]),
        ("ramp", ["9", "40", "11", "5"]),
        ("month", ["35", "11", "5"]),
    ],
)
def test_an_alert_says_the_numbers_of_the_rules_as_they_are_set(
    speaker: Composer, kind: str, numbers: list[str]
) -> None:
    """No sentence about a rule keeps the default; the advice follows these rules."""
    facts = made.alert_facts(kind, rules=OTHER)
    email = speaker.alert(facts)

    assert default_numbers(email) == []
    for number in numbers:
        assert re.search(rf"\b{number} (days|Tage)", sentences(email)), number


@pytest.mark.parametrize(("share", "allowed"), [(0.9, "8.0 km"), (0.7, "6.2 km")])
def test_an_alert_allows_the_long_run_that_the_rules_set(share: float, allowed: str) -> None:
    """In the second gentle week, from the 8.9 km before the jump."""
    rules = replace(Rules(), plan_gentle_long=(0.6, share))
    known = History.of(made.runs(), rules=rules)
    facts = made.alert_facts(rules=rules, recovery=recovery(known, made.DAY, rules=rules))
    said = " ".join(Composer().alert(facts).text.split())

    assert f"after these days: at most {allowed}." in said


def test_what_a_study_found_is_not_said_of_a_run_that_it_did_not_look_at() -> None:
    """7 % more is the study's reference group. The mail says that its rule differs."""
    finding = made.finding(observed_m=9_523)
    email = Composer().alert(made.alert_facts(finding=finding, rules=replace(OTHER)))
    said = " ".join(email.text.split())

    assert "only a run more than 10% longer than the longest of the 30 days before" in said
    assert "1.64" not in said
    assert (
        "The rule here is set otherwise than in the study: it warns of a run more than 5% over "
        "the longest of the 21 days before."
    ) in said


def test_with_the_rules_of_the_study_nothing_is_said_of_other_rules() -> None:
    """Without changed settings there's no sentence about them."""
    assert "set otherwise" not in Composer().alert(made.alert_facts()).text


def test_the_weekly_mail_says_the_numbers_of_the_rules_as_they_are_set(
    speaker: Composer,
) -> None:
    """The plan, findings, missing history."""
    week = made.week_after_the_jump()
    noticed = tuple(Noticed(made.finding(kind), mailed=False) for kind in ("run", "ramp", "month"))
    mails = [
        speaker.weekly(replace(facts, rules=OTHER))
        for facts in (made.weekly_facts(), week, replace(week, findings=noticed), made.first_week())
    ]

    assert [default_numbers(email) for email in mails] == [[], [], [], []]
    said = [sentences(email) for email in mails]
    assert re.search(r"5 ?% (longer|länger)", said[0])
    assert re.search(r"21 (days|Tage).*9 (days|Tagen).*40 (days|Tage).*35 (days|Tagen)", said[2])
    assert re.search(r"53 (days|Tage)", said[3])


def test_how_near_the_mean_a_week_is_much_like_it_is_a_rule() -> None:
    """The same week is about its mean, or above it by a distance."""
    facts = made.weekly_facts()
    [like, unlike] = [
        Composer().weekly(replace(facts, rules=replace(Rules(), weekly_like_share=share))).text
        for share in (0.9, 0.0)
    ]

    assert "much like your mean" in " ".join(like.split())
    assert "more than your mean" in " ".join(unlike.split())


def test_the_pipeline_hands_its_rules_to_the_mail(app: App) -> None:
    """A rule of 5 % warns of a run 7 % longer, and the mail mentions 5 % and 21 days."""
    app.services = replace(app.services, rules=replace(OTHER, run_excess_m=0.0))
    anna = app.athlete()
    app.runs(anna, steady(until=TODAY, weeks=10))
    app.arrive(anna, recording(km=8.6))
    app.pass_on()

    [mail] = [mail for mail in app.mailer.taken if mail["X-Easeback-Kind"] == "alert"]
    text = " ".join(mail.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]  # it has one
    assert "your longest run of the 21 days before was 8.0 km" in text
    assert "after these days: at most 7.2 km" in text
    assert "more than 5% over the longest of the 21 days before" in text


def test_the_page_says_the_numbers_of_the_rules_as_they_are_set(tmp_path: Path) -> None:
    """Findings with their rule, the ceiling, missing history."""
    made_here = instance(tmp_path)
    mira = made_here.add()
    run_winter(made_here, mira)
    services = replace(made_here.web.services, rules=OTHER)
    page = made_here.client(services=services).get(made_here.link("athlete", mira)).text
    page = page.replace("\u00a0", " ")
    made_here.clock.now += timedelta(days=8)
    later = made_here.client(services=services).get(made_here.link("athlete", mira)).text

    assert "your longest of the 21 days before" in page
    assert "9 days</strong>" in page
    assert "at most 5% longer than what you" in later.replace("\u00a0", " ")
    rest = re.sub(r"<p>(Among|This is a coach).*?</p>", "", page)
    assert re.findall(r"30 days before|six weeks|Seven days|in 7 days", rest) == []


def test_explain_and_ceiling_say_the_numbers_of_the_rules_as_they_are_set(tmp_path: Path) -> None:
    """From the command line, with a rule in the settings file."""
    (tmp_path / "own.toml").write_text(
        "[rules]\nrun_over = 1.05\nrun_window_days = 21\nramp_days = 9\nramp_window_days = 40\n"
        "return_watch_days = 25\n"
    )
    history = tmp_path / "history"
    history.mkdir()
    day = date(2026, 11, 20)
    for back in range(2, 80, 2):
        content = run_file(8.0, day=day - timedelta(days=back))
        (history / f"{back}.fit").write_bytes(content)

    def ask(*command: str | Path) -> str:
        done = easeback("--config", "own.toml", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    ask("athlete", "add", "--name", "Anna", "--email", "anna@example.org", "--timezone", "UTC")
    ask("import", history)
    explained = ask("explain", "2026-11-18", "--as-of", "2026-11-20T18:00:00Z")
    ceiling = ask("ceiling", "--as-of", "2026-11-20T18:00:00Z")

    assert "the longest of the 21 days before" in explained
    assert "the largest 9 days of the 40 before" in explained
    assert "(run_over = 1.05)" in explained
    assert "longest of the last 21 days: 8.0 km" in ceiling
    assert "next run: at most 8.4 km" in ceiling
    assert re.findall(r"\b30 days|\b42\b|\b7 days", explained + ceiling) == []


@pytest.mark.parametrize("units", ["km", "mi"])
def test_mails_say_that_climb_counts_where_it_does(speaker: Composer, units: Units) -> None:
    """Once in each mail, in the reader's units, and not while the rule is off."""
    runner = replace(made.athlete(), units=units)
    rate = r"\b100 m [a-z]+" if units == "km" else r"\b528 (ft|Fuß)"
    for rules, times in ((Rules(), 0), (Rules(climb_m_per_km=100), 1)):
        alert = speaker.alert(made.alert_facts(runner=runner, rules=rules))
        weekly = speaker.weekly(made.weekly_facts(runner=runner, rules=rules))
        for said in (alert.text, alert.html, weekly.text, weekly.html):
            assert len(re.findall(rate, " ".join(said.replace("\xa0", " ").split()))) == times


def test_the_chart_of_an_alert_counts_climb_as_its_sums_do() -> None:
    """The day's bar is as high as the finding's observed value."""
    facts = made.alert_facts()
    climbed = [replace(run, ascent_m=100.0) for run in facts.runs]
    plain, hilly = (
        Composer().alert(replace(facts, runs=climbed, rules=rules)).text
        for rules in (Rules(), Rules(climb_m_per_km=100))
    )
    assert "14.2" in _chart_words(plain)
    assert "15.2" in _chart_words(hilly)


def _chart_words(said: str) -> str:
    return next(part for part in said.split("\n\n") if "Chart" in part)
