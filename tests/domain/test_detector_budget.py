"""Which finding is mailed, and the reason when none is."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tests.domain.histories import RULES, day, every, history, run
from worker.domain.detector import MailedAlert, judge_day, replay, worth_mailing
from worker.domain.models import Finding, Kind

TODAY = day(70)


def finding(severity: int = 2, *, kind: Kind = "run", on: date = TODAY) -> Finding:
    return Finding(on, kind, 1, severity, observed_m=15_000, baseline_m=10_000)


def choose(*findings: Finding, told: tuple[MailedAlert, ...] = ()) -> Finding | str:
    return worth_mailing(findings, mailed=told, today=TODAY, rules=RULES)


def test_the_gravest_finding_leads() -> None:
    """One of a day's findings is mailed."""
    grave = finding(3, kind="return")

    assert choose(finding(2), grave, finding(2, kind="ramp")) is grave


def test_of_equal_weight_the_single_run_leads() -> None:
    """The single-run rule alone has a clear positive result in runners."""
    single = finding(2, kind="run")

    assert choose(finding(2, kind="ramp"), finding(2, kind="return"), single) is single


def test_of_the_same_kind_and_weight_the_newest_leads() -> None:
    """Today's finding comes before yesterday's."""
    newest = finding()

    assert choose(finding(on=TODAY - timedelta(days=1)), newest) is newest


@pytest.mark.parametrize(("days", "mailed"), [(3, True), (4, False)])
def test_a_run_more_than_three_days_old_is_not_mailed(days: int, mailed: bool) -> None:
    """The advice starts on the day itself."""
    old = finding(on=TODAY - timedelta(days=days))

    assert (choose(old) is old) == mailed
    if not mailed:
        assert f"the run was {days} days ago" in str(choose(old))


@pytest.mark.parametrize(("days", "mailed"), [(0, False), (13, False), (14, True)])
def test_one_mail_of_a_weight_in_fourteen_days(days: int, mailed: bool) -> None:
    """The fifteenth day is free again."""
    new = finding(2)
    told = MailedAlert(TODAY - timedelta(days=days), 2)

    choice = choose(new, told=(told,))

    assert (choice is new) == mailed
    if not mailed:
        assert f"an alert of the same weight was mailed on {told.day}" in str(choice)


@pytest.mark.parametrize(("severity", "mailed"), [(1, False), (2, False), (3, True)])
def test_only_a_graver_one_breaks_the_silence(severity: int, mailed: bool) -> None:
    """After a mail of severity 2 yesterday, severity 3 is still mailed."""
    new = finding(severity)

    assert (choose(new, told=(MailedAlert(TODAY - timedelta(days=1), 2),)) is new) == mailed


def test_the_gravest_of_several_mails_counts() -> None:
    """Not the latest one."""
    told = (MailedAlert(TODAY - timedelta(days=10), 3), MailedAlert(TODAY - timedelta(days=2), 1))

    assert "more weight" in str(choose(finding(2), told=told))


def test_nothing_found_is_said_so() -> None:
    """A day without a finding has a reason for silence too."""
    assert choose() == "there was nothing to warn of"


def test_a_slight_excess_over_a_distance_run_lately_is_no_news() -> None:
    """12 km after a month of 10, but 14 six weeks ago: a finding, in the weekly mail only."""
    runs = [*every(3, 10_000, last=66), run(28, 14_000, hour=18, run_id=999), run(70, 12_000)]
    known = history(runs)
    (found,) = judge_day(known, TODAY, rules=RULES).findings

    quiet = worth_mailing([found], mailed=(), today=TODAY, rules=RULES, history=known)

    assert found.severity == 1
    assert "mail_familiar_days" in str(quiet)


def test_a_distance_run_lately_is_no_news_though_the_month_forgot_it() -> None:
    """15 km after a month of 10 are half as much again, but no more than six weeks ago."""
    runs = [*every(3, 10_000, last=66), run(28, 15_000, hour=18, run_id=999), run(70, 15_000)]
    known = history(runs)
    (found,) = judge_day(known, TODAY, rules=RULES).findings

    quiet = worth_mailing([found], mailed=(), today=TODAY, rules=RULES, history=known)

    assert found.severity == 2
    assert "mail_familiar_days" in str(quiet)


@pytest.mark.parametrize(("ago", "is_low", "mailed"), [
    (42, False, False), (42, True, False), (64, False, False), (64, True, True),
])  # fmt: skip
@pytest.mark.parametrize("metres", [12_000, 15_000])
def test_in_a_low_month_a_distance_is_news_again_sooner(
    metres: float, ago: int, is_low: bool, mailed: bool
) -> None:
    """Two runs a week lately instead of four: a distance of 64 days ago counts no longer."""
    runs = [*every(2, 10_000, last=42), run(70 - ago, 15_000, hour=18, run_id=999),
            *every(4 if is_low else 2, 10_000, first=46, last=66), run(70, metres)]  # fmt: skip
    known = history(runs)
    found = next(f for f in judge_day(known, TODAY, rules=RULES).findings if f.kind == "run")

    choice = worth_mailing([found], mailed=(), today=TODAY, rules=RULES, history=known)

    assert (choice is found) == mailed
    if not mailed:
        assert ("mail_familiar_low_days" if is_low else "mail_familiar_days") in str(choice)


@pytest.mark.parametrize(("ago", "mailed"), [(58, False), (64, True)])
def test_in_re_training_a_distance_is_news_again_sooner(ago: int, mailed: bool) -> None:
    """After an easy season of eight weeks, a distance run before it counts no longer."""
    runs = [*every(3, 10_000, last=66), run(70 - ago, 15_000, hour=18, run_id=999),
            run(70, 15_000)]  # fmt: skip
    known = history(runs)
    (found,) = judge_day(known, TODAY, rules=RULES).findings
    back = replace(found, retraining=True)

    choice = worth_mailing([back], mailed=(), today=TODAY, rules=RULES, history=known)

    assert (choice is back) == mailed


@pytest.mark.parametrize("retraining", [False, True])
def test_in_re_training_a_return_of_severity_2_is_news(retraining: bool) -> None:
    """As far as before the break is too far after it."""
    runs = [*every(3, 10_000, last=45), run(70, 10_000)]
    known = history(runs)
    found = next(f for f in judge_day(known, TODAY, rules=RULES).findings if f.kind == "return")
    back = replace(found, severity=2, retraining=retraining)

    choice = worth_mailing([back], mailed=(), today=TODAY, rules=RULES, history=known)

    assert (choice is back) == retraining


def test_severity_3_is_news_however_lately_the_distance_was_run() -> None:
    """21 km after a month of 10, seven weeks after another 21 km."""
    runs = [*every(3, 10_000, last=66), run(21, 21_000, hour=18, run_id=999), run(70, 21_000)]
    known = history(runs)
    found = next(f for f in judge_day(known, TODAY, rules=RULES).findings if f.kind == "run")

    assert found.severity == 3
    assert worth_mailing([found], mailed=(), today=TODAY, rules=RULES, history=known) is found


@pytest.mark.parametrize(("metres", "mailed"), [(25_900, False), (26_010, True)])
def test_far_beyond_the_longest_of_months_waits_for_no_runs(metres: float, mailed: bool) -> None:
    """Beyond 1.3 times the longest of 90 days, though only two runs followed the last alert."""
    runs = [*every(6, 10_000, first=4, last=64), run(20, 20_000, hour=18, run_id=999),
            run(70, metres)]  # fmt: skip
    known = history(runs)
    found = next(f for f in judge_day(known, TODAY, rules=RULES).findings if f.kind == "run")
    told = [MailedAlert(TODAY - timedelta(days=16), 3)]

    choice = worth_mailing([found], mailed=told, today=TODAY, rules=RULES, history=known)

    assert found.severity == 3
    assert (choice is found) == mailed


@pytest.mark.parametrize(("days", "mailed"), [(27, False), (28, True)])
def test_a_months_rise_is_mailed_where_no_alert_was_for_four_weeks(days: int, mailed: bool) -> None:
    """It lasts for weeks; any mail within them, of any severity, has covered it."""
    month = finding(2, kind="month")
    told = [MailedAlert(TODAY - timedelta(days=days), 1)]

    choice = worth_mailing(
        [month], mailed=told, today=TODAY, rules=RULES, history=history(every(3, 9_000, last=70))
    )

    assert (choice is month) == mailed
    if not mailed:
        assert "mail_month_days" in str(choice)


@pytest.mark.parametrize(("every_days", "mailed"), [(3, True), (6, False)])
def test_who_runs_seldom_waits_for_runs_not_only_for_days(every_days: int, mailed: bool) -> None:
    """Three weeks after an alert: one has run seven times, the other three times."""
    runs = [*every(every_days, 10_000, first=70 % every_days, last=64), run(70, 15_000)]
    known = history(runs)
    new = judge_day(known, TODAY, rules=RULES).findings[0]
    told = [MailedAlert(TODAY - timedelta(days=22), new.severity)]

    choice = worth_mailing([new], mailed=told, today=TODAY, rules=RULES, history=known)

    assert (choice is new) == mailed
    if not mailed:
        assert "mail_every_runs" in str(choice)


def test_an_alert_of_a_year_ago_holds_nothing_back() -> None:
    """However few runs followed."""
    known = history([run(70, 15_000)])
    told = [MailedAlert(TODAY - timedelta(days=365), 3)]

    new = finding(1, kind="return")
    graver = finding(2)
    assert worth_mailing([graver], mailed=told, today=TODAY, rules=RULES, history=known) is graver
    assert worth_mailing([new], mailed=[], today=TODAY, rules=RULES, history=known) is new


def test_a_replay_lists_each_finding_and_who_was_mailed() -> None:
    """One jump, the same again four days later, then a far greater one."""
    runs = [
        *every(3, 10_000, last=60),
        run(62, 14_000),
        run(66, 18_500),
        run(70, 45_000),
    ]

    replayed = replay(history(runs), rules=RULES)

    singles = [one for one in replayed if one.finding.kind == "run"]
    assert [(one.finding.day, one.finding.severity, one.mailed) for one in singles] == [
        (day(62), 2, True),
        (day(66), 2, False),
        (day(70), 3, True),
    ]
    assert all(one.finding in one.verdict.findings for one in replayed)
