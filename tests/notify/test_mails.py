"""The mails as runners read them: every important sentence, on facts of a made-up runner."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

import pytest

from simulators import mail_facts as made
from simulators.mail_lint import lint, visible
from simulators.mails import MAILS
from worker.domain.checkins import CheckIn
from worker.domain.models import Dial, Email, Finding, Race, WeeklyHour
from worker.domain.plan_change import PlanChange
from worker.domain.routine import Step
from worker.links import Signer
from worker.mail import to_mime
from worker.notify import Composer, Noticed

SIGNER = Signer(["a key for tests"], "https://easeback.example.org")
HOSTILE = (
    "Eve\r\nBcc: all@example.org <script>alert(1)</script> {{ 7*7 }} {% raw %} \u202e\u2066 🏃 "
    + "x" * 10_000
)


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(signer=SIGNER, checkins=True, reply_to="therapist@example.org")


def wire(email: Email) -> bytes:
    """The mail as sent bytes."""
    return to_mime(
        email,
        message_id="<made.1@example.org>",
        date=datetime(2026, 2, 21, 15, 30, tzinfo=UTC),
        sender="Easeback <easeback@example.org>",
        reply_to="therapist@example.org",
    )


@pytest.mark.parametrize("name", MAILS)
def test_every_mail_passes_the_lint_as_composed_and_on_the_wire(
    composer: Composer, name: str
) -> None:
    """Headers, lines, both parts, links, HTML and size of every mail."""
    email = MAILS[name](composer)
    lint(email, signer=SIGNER)
    lint(wire(email), signer=SIGNER)


@pytest.mark.parametrize("name", MAILS)
def test_the_same_facts_make_the_same_mail(composer: Composer, name: str) -> None:
    """A mail that is composed again is identical to the byte, including pictures."""
    assert MAILS[name](composer) == MAILS[name](composer)


def test_the_subject_of_an_alert_says_the_fact(composer: Composer) -> None:
    """Weekday, distance, ratio: what happened is clear before the mail is opened."""
    email = composer.alert(made.alert_facts())
    assert email.subject == "Saturday's 14.2 km was 1.6 × your longest of the last month"


@pytest.mark.parametrize(
    ("language", "clock", "said"),
    [
        ("en", "24", "It comes on Sundays at 19:05. It covers the week that ends that day."),
        ("en", "12", "It comes on Sundays at 7:05 pm. It covers the week that ends that day."),
        (
            "de",
            "24",
            "Sie kommt immer sonntags um 19:05 Uhr. Darin steht die Woche, die",
        ),
        ("de", "12", "Sie kommt immer sonntags um 7:05 Uhr nachmittags. Darin steht"),
    ],
)
def test_times_are_told_by_the_clock_that_the_athlete_reads(
    language: str, clock: Dial, said: str
) -> None:
    """In both parts, in either language."""
    evening = WeeklyHour(6, time(19, 5))
    composer = Composer(signer=SIGNER, language=language)
    email = composer.weekly(made.weekly_facts(runner=made.athlete(clock=clock, weekly=evening)))
    lint(email, signer=SIGNER)
    for body in (email.text, visible(email.html)):
        assert said in " ".join(body.split())


def test_a_runner_in_miles_reads_miles_everywhere(composer: Composer) -> None:
    """No kilometre is left in a mail to somebody who runs in miles."""
    email = composer.alert(made.alert_facts(runner=made.athlete(units="mi")))
    assert email.subject == "Saturday's 8.8 mi was 1.6 × your longest of the last month"
    assert not re.search(r"\d\s*km\b", email.text + visible(email.html))


@pytest.mark.parametrize("kind", ["run", "return", "ramp"])
def test_safety_stands_above_the_exercises(composer: Composer, kind: str) -> None:
    """Warning signs come first in both parts."""
    email = composer.alert(made.alert_facts(kind))
    for body in (email.text, visible(email.html)):
        said = " ".join(body.split())
        places = [
            said.index(words)
            for words in (
                "Numbness around the genitals",
                "You can't bear weight",
                "Hip replacement",
                "information, not a diagnosis",
                "5 minutes",
            )
        ]
        assert places == sorted(places)


@pytest.mark.parametrize("name", MAILS)
def test_no_mail_foretells_an_injury_or_promises_safety(composer: Composer, name: str) -> None:
    """Nothing promises more than the evidence shows."""
    said = MAILS[name](composer).text.lower()
    for promise in ("you will be injured", "you'll be injured", "you'll get hurt", "you're safe",
                    "you are safe", "prevents injur", "prevent injur", "guarantee"):  # fmt: skip
        assert promise not in said


@pytest.mark.parametrize(
    ("observed_m", "figures"),
    [(11_000, "1.64 times"), (14_200, "1.52 times"), (18_000, "2.28 times")],
)
def test_an_alert_cites_the_figure_of_its_own_band(
    composer: Composer, observed_m: float, figures: str
) -> None:
    """10 to 30 %, 30 to 100 % and beyond have their own figures, with range and source."""
    email = composer.alert(made.alert_facts(finding=made.finding(observed_m=observed_m)))
    said = " ".join(email.text.split())
    assert figures in said
    assert "Frandsen et al. 2025, British Journal of Sports Medicine 59:1203" in said


@pytest.mark.parametrize("kind", ["return", "ramp"])
def test_a_rule_without_a_study_is_called_a_coachs_rule(composer: Composer, kind: str) -> None:
    """The return and the ramp rest on experience, and the mail says so."""
    assert "This is a coach's rule" in composer.alert(made.alert_facts(kind)).text


def test_the_piriformis_stretch_is_for_buttock_pain_and_never_before_a_run(
    composer: Composer,
) -> None:
    """With buttock pain it comes after the run; otherwise it's left out."""
    said = composer.alert(made.alert_facts()).text
    before, after = said.index("Before the run"), said.index("After the run")
    assert "Piriformis stretch: hold 30 seconds, 3 repetitions" in said[after:]
    assert "Piriformis" not in said[before:after]
    assert "Never before a run" in said
    knee = composer.alert(made.alert_facts(runner=made.athlete(pain=("knee",)))).text
    assert "Piriformis" not in knee


def test_the_next_days_come_by_date_and_past_ones_are_left_out(composer: Composer) -> None:
    """An alert two days late starts with the day it arrives."""
    late = composer.alert(made.alert_facts(now=datetime(2026, 2, 23, 6, tzinfo=UTC))).text
    assert "Mon 23 Feb: Easy run, at most" in late
    assert "Sun 22 Feb" not in late


def test_today_is_the_athletes_day(composer: Composer) -> None:
    """Late on Saturday in Berlin it's Sunday in Auckland, and Saturday is past."""
    facts = made.alert_facts(runner=made.athlete(timezone="Pacific/Auckland"))
    assert "Sat 21 Feb: Walk" not in composer.alert(facts).text


def test_the_next_long_run_is_measured_before_the_jump(composer: Composer) -> None:
    """0.90 × 8.9 km is 8.01, given as 8.0, as rounding up would break the rule."""
    said = " ".join(composer.alert(made.alert_facts()).text.split())
    assert "Your next long run, after these days: at most 8.0 km" in said


@pytest.mark.parametrize("kind", ["run", "return", "ramp", "month"])
def test_the_days_of_an_alert_sum_to_the_week_it_names(composer: Composer, kind: str) -> None:
    """And to no more than the weekly mail plans after the finding."""
    facts = made.alert_facts(kind)
    said = " ".join(composer.alert(facts).text.split())
    easy_m = [day.at_most_m or 0 for day in facts.recovery.days]
    assert facts.recovery.week_m == sum(easy_m) > 0
    assert f"Together at most {sum(easy_m) // 100 / 10:.1f} km." in said


def test_a_race_is_answered_without_reproach(composer: Composer) -> None:
    """After a race: congratulations, recovery, and no criticism."""
    email = composer.alert(made.alert_facts(finding=made.finding(race="race")))
    assert email.subject == "Your race on Saturday: 14.2 km, now the easy days"
    assert "Well run." in email.text
    assert "jumped further" not in email.text


def test_a_race_distance_without_a_mark_is_allowed_to_be_a_race(composer: Composer) -> None:
    """A run of a race's length gets the warning, worded to allow for a race."""
    email = composer.alert(made.alert_facts(finding=made.finding(race="maybe")))
    assert "If it was a race: well run" in " ".join(email.text.split())


def test_retraining_shows_last_years_ramp_beside_this_years(composer: Composer) -> None:
    """After an easy season the mail says so, with both ramps as a picture and as numbers."""
    email = composer.alert(made.alert_facts())
    assert "YOU ARE RE-TRAINING" in email.text
    assert [name for name, _ in email.images][:2] == ["chart.png", "ramps.png"]
    assert "Last year: 8.1, 12.4, 16.0" in " ".join(email.text.split())


def test_every_run_in_the_picture_stands_in_words_too(composer: Composer) -> None:
    """Without pictures nothing is lost: each bar has its number in both parts."""
    email = composer.alert(made.alert_facts())
    shown = [run for run in made.runs() if run.day >= date(2026, 1, 22)]
    for run in shown:
        assert f"{run.distance_m / 1000:.1f}" in email.text
        assert f"{run.distance_m / 1000:.1f}" in visible(email.html)


def test_unsubscribing_has_its_headers_and_its_link(composer: Composer) -> None:
    """One click: the same signed address in the header and in the mail, for this kind alone."""
    email = composer.weekly(made.weekly_facts())
    headers = dict(email.extra_headers)
    address = headers["List-Unsubscribe"].strip("<>")
    token = address.rpartition("/")[2]
    now = datetime(2036, 1, 1, tzinfo=UTC)
    assert SIGNER.check("unsubscribe", token, now=now).more == {"kind": "weekly"}
    assert address in email.text
    assert address in email.html
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_without_a_signer_a_mail_carries_no_link() -> None:
    """Without a web server there are no dead links."""
    email = Composer(checkins=True).alert(made.alert_facts())
    assert email.extra_headers == ()
    assert "http" not in email.text
    lint(email)


def test_mails_of_one_episode_are_one_thread(composer: Composer) -> None:
    """The second alert of an episode refers to the first."""
    email = composer.alert(made.alert_facts(reply_to_id="<first@example.org>"))
    headers = dict(email.extra_headers)
    assert headers["References"] == headers["In-Reply-To"] == "<first@example.org>"
    lint(wire(email))


@pytest.mark.parametrize("kind", ["run", "return", "ramp"])
def test_hostile_text_stays_text(composer: Composer, kind: str) -> None:
    """Line breaks, markup, braces, direction marks, 10,000 letters: all shown harmlessly."""
    runner = made.athlete(name=HOSTILE, race=replace(made.RACE, name=HOSTILE))
    weekly = made.weekly_facts(
        runner=runner,
        troubles=(HOSTILE,),
        findings=(Noticed(made.finding(kind), mailed=False, why_not=HOSTILE),),
    )
    mails = [
        composer.alert(made.alert_facts(kind, runner=runner)),
        composer.weekly(weekly),
        composer.reconnect(replace(made.reconnect_facts(), athlete=runner, source=HOSTILE)),
        composer.notice(replace(made.notice_facts(), what=HOSTILE, lines=(HOSTILE,))),
    ]
    for email in mails:
        assert "<script" not in email.html
        assert "\u202e" not in email.text + email.html + email.subject
        assert "x" * 1000 not in email.text
        assert "Eve" not in email.subject or email.kind == "reconnect"
        assert b"Bcc:" not in wire(email).partition(b"\r\n\r\n")[0]


def test_a_therapists_step_with_a_film_links_to_it(composer: Composer) -> None:
    """A step's video is linked in both parts."""
    step = Step("a", "Bridge", "Why.", "How.", "10 times", ("after",), video="https://x.example/v")
    email = composer.alert(made.alert_facts(steps=[step]))
    assert "https://x.example/v" in email.text
    assert 'href="https://x.example/v"' in email.html


def test_a_week_without_runs_is_met_kindly(composer: Composer) -> None:
    """No zeros in a table, no criticism."""
    email = composer.weekly(made.quiet_week())
    assert email.subject == "Your week: a quiet one, no runs"
    assert "it's fine" in " ".join(email.text.split())
    assert "0.0 km" not in email.text


def test_a_first_week_says_that_nothing_can_be_judged_yet(composer: Composer) -> None:
    """It says plainly that history is missing, and gives no ceiling."""
    said = " ".join(composer.weekly(made.first_week()).text.split())
    assert "TOO LITTLE HISTORY YET" in said
    assert "at most" not in said
    assert "Nothing stood out" not in said


def test_weeks_before_the_first_run_are_no_break(composer: Composer) -> None:
    """A runner of three weeks has three weeks of history, not nine weeks off."""
    weeks = made.calendar_weeks(made.runs())
    empty = [replace(week, distance_m=0.0, runs=0, longest_m=0.0, moving_s=0.0) for week in weeks]
    young = (*empty[:10], *weeks[10:])
    email = composer.weekly(made.weekly_facts(weeks=young))
    said = " ".join(email.text.split())
    assert "Chart of 3 weeks" in said
    assert "Mean of 4 before" not in said


def test_the_weekly_mail_says_why_a_finding_was_not_mailed(composer: Composer) -> None:
    """The reason is in words, without the setting's name."""
    finding = Finding(date(2026, 2, 14), "run", 3, 1, 9_000, 7_500)
    why = "an alert of more weight was mailed on Tuesday (mail_every_days = 14)"
    email = composer.weekly(made.weekly_facts(findings=(Noticed(finding, False, why),)))
    said = " ".join(email.text.split())
    assert "No mail came: an alert of more weight was mailed on Tuesday." in said


def test_the_week_after_a_jump_is_gentle(composer: Composer) -> None:
    """Two days after 14.2 km the long run is 0.6 × the 8.9 before it, and the week says why."""
    said = " ".join(composer.weekly(made.week_after_the_jump()).text.split())
    assert "at most 5.3 km." in said
    assert "It's a gentle week, after what happened." in said


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("pain", "as you said that it hurts or is sore."),
        ("finding", "as last week had a jump."),
        ("less", "as last week had 12.0 km of 24.0 km planned."),
        ("more", "as last week had 12.0 km, where 24.0 km were planned."),
    ],
)
def test_a_week_planned_otherwise_says_why_in_one_line(
    composer: Composer, why: Any, words: str
) -> None:
    """The planned week, the new one, and the reason."""
    change = PlanChange(26_000, 20_000, 12_000, 24_000, why)
    said = " ".join(composer.weekly(made.weekly_facts(change=change)).text.split())
    assert f"Planned for this week were 26.0 km; now it's 20.0 km, {words}" in said


def test_a_shorter_long_run_is_told_of_the_long_run(composer: Composer) -> None:
    """The previous long run, the new one, and the last one run."""
    change = PlanChange(15_700, 14_300, 9_000, 14_300, "shorter", is_long=True)
    said = " ".join(composer.weekly(made.weekly_facts(change=change)).text.split())
    assert (
        "The long run planned for this week had 15.7 km; now it's 14.3 km, "
        "as last week's longest run was 9.0 km of 14.3 km planned."
    ) in said


@pytest.mark.parametrize(
    ("language", "now_m", "km", "words"),
    [
        ("en", 24_000, 21.1, "now it's 24.0 km, as your race moved from 10 May to 17 May."),
        ("en", 26_000, 21.1, "Your race moved from 10 May to 17 May; this week stays"),
        ("en", 24_000, 10, "as your race is now 10.0 km on 17 May instead of 21.1 km on 10 May."),
        ("de", 24_000, 21.1, "Dein Rennen ist vom 10. Mai auf den 17. Mai verlegt: Für diese"),
        ("de", 26_000, 21.1, "auf den 17. Mai verlegt; diese Woche bleibt, wie sie geplant war."),
    ],
)
def test_a_race_that_was_moved_is_told(language: str, now_m: float, km: float, words: str) -> None:
    """From which day to which, and both distances if that changed."""
    races = (Race("", date(2026, 5, 10), 21_100), Race("Spring", date(2026, 5, 17), km * 1000))
    change = PlanChange(26_000, now_m, 12_000, 24_000, "race", moved=races)
    email = Composer(signer=SIGNER, language=language).weekly(made.weekly_facts(change=change))
    lint(email, signer=SIGNER)
    assert words in " ".join(email.text.split())
    assert words in " ".join(visible(email.html).split())


@pytest.mark.parametrize(
    ("state", "words"),
    [("on track", "On track."), ("tight", "Tight."), ("short", "3 weeks short.")],
)
def test_a_race_ahead_is_told_as_it_stands(composer: Composer, state: Any, words: str) -> None:
    """On track, tight, or weeks short, with the date of every week."""
    plan = replace(made.weekly_facts().plan, state=state, weeks_short=3 if state == "short" else 0)
    email = composer.weekly(made.weekly_facts(plan=plan))
    assert words in email.text
    for week in plan.weeks:
        assert f"Mon {week.starts_on.day} {week.starts_on:%b}: {week.kind}, " in email.text


def test_who_should_be_seen_is_offered_no_run(composer: Composer) -> None:
    """After repeated pain the alert advises to see a clinician, and every running day is rest."""
    email = composer.alert(made.alert_facts(diary=made.hurting()))
    said = " ".join(email.text.split())
    assert "asks for a clinician. No run until somebody has looked at it" in said
    assert "Easy run" not in said
    assert "next long run" not in said
    assert "no reason to worry" not in said
    lint(email, signer=SIGNER)


def test_who_should_be_seen_is_offered_no_exercise(composer: Composer) -> None:
    """Neither the alert nor the weekly mail has the routine then; without pain both have it."""
    hurting = made.hurting()
    plan = made.coming(date(2026, 2, 16), checkins=hurting)
    for mail, usual in (
        (composer.alert(made.alert_facts(diary=hurting)), composer.alert(made.alert_facts())),
        (
            composer.weekly(made.weekly_facts(diary=hurting, plan=plan)),
            composer.weekly(made.weekly_facts()),
        ),
    ):
        for said, before in ((mail.text, usual.text), (mail.html, usual.html)):
            assert "walk" in before
            assert "risk walk" not in said
            assert "Before the run" not in said


def test_the_weekly_mail_tells_the_diary_and_names_no_ceiling_to_who_should_be_seen(
    composer: Composer,
) -> None:
    """The answers by date, the advice, and nothing that invites to a run."""
    plan = made.coming(date(2026, 2, 16), checkins=made.hurting())
    email = composer.weekly(made.weekly_facts(diary=made.hurting(), plan=plan))
    said = " ".join(email.text.split())
    assert "Sun 15 Feb: It hurts, 6 of 10, buttock" in said
    assert "pain on more than one day" in said
    assert "at most" not in said
    lint(email, signer=SIGNER)


@pytest.mark.parametrize(
    ("feels", "words"),
    [
        ("fine", "it's fine"),
        ("sore", "a bit sore: keep it easy"),
        ("hurts", "no run while it does"),
    ],
)
def test_the_last_answer_shapes_the_words_of_the_next_mail(
    composer: Composer, feels: Any, words: str
) -> None:
    """A single answer is mentioned, and stops nothing."""
    email = composer.alert(made.alert_facts(diary=(CheckIn(made.DAY, feels),)))
    assert words in " ".join(email.text.split())
    assert "Easy run" in email.text


def test_a_return_that_is_also_the_longest_run_of_the_month_says_both(composer: Composer) -> None:
    """Two rules may find the same run; the mail describes it as one run."""
    facts = made.alert_facts("return")
    also = replace(made.finding("run"), observed_m=8_600, baseline_m=6_500)
    verdict = replace(facts.verdict, findings=(facts.finding, also))
    said = " ".join(composer.alert(replace(facts, verdict=verdict)).text.split())
    assert "It was also further than the longest run of the 30 days before, 6.5 km." in said
    assert "One run stood out too" not in said


@pytest.mark.parametrize(
    ("language", "subject", "line"),
    [
        ("en", "Please renew your Garmin key", "Your Garmin key runs out on Saturday 28 February."),
        ("de", "Bitte erneuere deinen Garmin-Schlüssel",
         "Dein Garmin-Schlüssel gilt noch bis Samstag, 28. Februar."),
    ],
)  # fmt: skip
def test_a_key_is_spoken_of_in_each_language(language: str, subject: str, line: str) -> None:
    """A line in the weekly mail while there's time, and a link to the page once it's over."""
    composer = Composer(signer=SIGNER, checkins=True, language=language)
    weekly = composer.weekly(made.weekly_facts(key_ends_on=date(2026, 2, 28)))
    for part in (weekly.text, weekly.html):
        assert line in " ".join(part.replace("\u00a0", " ").split())
    renew = composer.reconnect(made.reconnect_facts(source="garmin"))
    assert renew.subject == subject
    assert "/athlete/" in renew.text
    bare = Composer(language=language).reconnect(made.reconnect_facts(source="garmin"))
    assert "easeback connect garmin" in " ".join(bare.text.split())


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "The next run comes with the week from Monday 23 February."),
        ("de", "Der nächste Lauf kommt mit der Woche ab Montag, 23. Februar."),
        ("fr", "La prochaine course viendra avec la semaine du lundi 23 février."),
    ],
)
def test_a_week_without_a_run_left_says_so_in_words(language: str, said: str) -> None:
    """A finding on its last day used it up; no mail allows a run of 0.0 km."""
    sunday = date(2026, 2, 22)
    found = replace(made.finding(), day=sunday)
    facts = made.weekly_facts(plan=made.coming(sunday, findings=[found]))
    email = Composer(language=language).weekly(facts)
    for text in (email.text, visible(email.html)):
        assert said in " ".join(text.replace("\xa0", " ").split())
