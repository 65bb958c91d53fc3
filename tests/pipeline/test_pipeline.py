"""Ingest, detect and deliver over a real store: what is found, mailed, or left unmailed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from itertools import pairwise
from typing import NoReturn
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app import NOW, TODAY, App, recording, refused, run_file, steady
from worker.domain.models import Athlete, Recording, Run, SourceName
from worker.jobs.ticks import record_tick
from worker.notify import Composer
from worker.pipeline.ingest import FIRST_FILES, MAILED_TOGETHER, UNSUBSCRIBED, ingest
from worker.store.progress import Tick

DAY = timedelta(days=1)
SPIKE = recording(km=12.0)
"""After weeks of 8 km: half as much again, severity 2."""


def runner(app: App, **changes: object) -> Athlete:
    """Anna, who has run 8 km every second day; `changes` replace fields."""
    anna = app.athlete("Anna", **changes)
    app.runs(anna, steady())
    return anna


def severities(app: App, athlete: Athlete) -> list[int]:
    """The severities of all single-run findings, oldest first."""
    return [one.severity for one in app.findings(athlete) if one.kind == "run"]


# What is mailed


def test_a_spike_is_mailed_once(app: App) -> None:
    """However often the same run is ingested and the jobs run."""
    anna = runner(app)
    for _ in range(3):
        app.arrive(anna, SPIKE)
        app.pass_on()
    assert app.mailer.kinds() == ["alert"]
    assert app.mailer.taken[0]["To"] == "anna@example.org"
    assert severities(app, anna) == [2]


def test_a_dropped_file_becomes_a_mail(app: App) -> None:
    """The whole way: FIT file, folder, run, finding, alert, mail server."""
    anna = runner(app)
    app.drop("spike.fit", run_file(12.0))
    app.pass_on()
    assert app.mailer.taken == []
    app.pass_on()
    assert app.mailer.kinds() == ["alert"]
    assert app.distances_km(anna)[-1] == 12.0


def test_the_first_files_of_an_athlete_are_silent(app: App) -> None:
    """A folder full of old runs, the last of them a spike of today."""
    anna = app.athlete()
    for number, one in enumerate([*steady(), SPIKE]):
        app.drop(f"{number}.fit", run_file(one.distance_m / 1000, day=one.day))
    assert app.look(2).imported == 28
    app.deliver()
    assert severities(app, anna) == [2]
    assert app.silences(anna) == [FIRST_FILES]
    assert app.mailer.taken == []


@pytest.mark.parametrize(("days", "mails"), [(3, 1), (4, 0)])
def test_a_run_of_more_than_three_days_ago_is_silent(app: App, days: int, mails: int) -> None:
    """The finding is stored, with the reason why it wasn't mailed."""
    anna = runner(app)
    app.at(TODAY + days * DAY)
    app.arrive(anna, SPIKE)
    app.deliver()
    assert len(app.mailer.taken) == mails
    assert severities(app, anna) == [2]
    if not mails:
        assert "4 days ago" in str(app.silences(anna)[0])


def test_one_alert_in_a_fortnight_but_for_a_graver_one(app: App) -> None:
    """Severity 2 again is silent, 3 isn't."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    app.deliver()
    app.at(TODAY + 5 * DAY)
    app.arrive(anna, recording(TODAY + 5 * DAY, 17.0))
    app.deliver()
    assert severities(app, anna) == [2, 2]
    assert "mail_every_days" in str(app.silences(anna)[-1])
    assert app.mailer.kinds() == ["alert"]

    app.at(TODAY + 9 * DAY)
    app.arrive(anna, recording(TODAY + 9 * DAY, 36.0))
    app.deliver()
    assert severities(app, anna) == [2, 2, 3]
    assert app.mailer.kinds() == ["alert", "alert"]


def test_later_alerts_of_an_episode_answer_the_first(app: App) -> None:
    """So that a mail reader shows them as one thread."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    app.deliver()
    app.at(TODAY + DAY)
    app.arrive(anna, recording(TODAY + DAY, 26.0))
    app.deliver()
    first, second = app.mailer.taken
    assert second["In-Reply-To"] == first["Message-ID"]


def test_two_findings_of_one_run_are_one_mail(app: App) -> None:
    """A spike that makes a ramp as well: the mail is about the run."""
    anna = runner(app)
    app.arrive(anna, recording(km=32.0))
    app.deliver()
    assert sorted(f.kind for f in app.findings(anna)) == ["ramp", "run"]
    assert MAILED_TOGETHER in app.silences(anna)
    assert app.mailer.kinds() == ["alert"]


def test_what_is_too_old_to_mail_says_so_beside_a_mail(app: App) -> None:
    """A late run of nine days ago makes a later day a ramp: each has its own reason."""
    anna = app.athlete()
    app.runs(anna, steady(km=5.0))
    app.arrive(anna, recording(TODAY - DAY, 7.0), recording(TODAY - 6 * DAY, 14.0, at=time(17)))
    by_day = {one.day: one for one in app.findings(anna)}
    with app.services.store.reading() as tx:
        silences = {one.finding.day: one.silence for one in tx.findings.standing(anna)}
    assert set(by_day) >= {TODAY - 6 * DAY}
    assert silences[TODAY - 6 * DAY] == "the run was 6 days ago (mail_within_days = 3)"


def test_unsubscribed_alerts_are_found_and_not_mailed(app: App) -> None:
    """Unsubscribing stops mails, not detection."""
    anna = runner(app, wants=frozenset({"weekly"}))
    app.arrive(anna, SPIKE)
    app.deliver()
    assert severities(app, anna) == [2]
    assert app.silences(anna) == [UNSUBSCRIBED]
    assert app.mailer.taken == []


# Late, edited, deleted


def test_an_edit_that_takes_the_cause_away_takes_the_unsent_mail_along(app: App) -> None:
    """A watch error that was corrected before the mail was sent."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    assert len(app.unsent()) == 1
    app.arrive(anna, replace(SPIKE, distance_m=8000.0))
    assert app.findings(anna) == ()
    assert app.unsent() == ()
    app.deliver()
    assert app.mailer.taken == []


def test_a_mail_that_failed_once_is_withdrawn_too(app: App) -> None:
    """A mail waiting for its next try isn't sent either."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    app.mailer.answers = [refused()]
    app.deliver()
    app.arrive(anna, replace(SPIKE, distance_m=8000.0))
    app.now += timedelta(hours=5)
    app.deliver()
    assert app.mailer.taken == []


def test_a_withdrawn_finding_that_comes_back_is_mailed_if_it_never_was(app: App) -> None:
    """Edited away and back before the mail was sent: it's one mail in the end."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    app.arrive(anna, replace(SPIKE, distance_m=8000.0))
    app.arrive(anna, SPIKE)
    app.deliver()
    app.arrive(anna, replace(SPIKE, distance_m=8000.0))
    app.arrive(anna, SPIKE)
    app.deliver()
    assert app.mailer.kinds() == ["alert"]


def test_an_edit_that_makes_it_graver_is_told(app: App) -> None:
    """It was severity 2 when mailed, and is 3 now."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    app.deliver()
    app.arrive(anna, replace(SPIKE, distance_m=17_000.0, moving_s=7000.0, elapsed_s=7000.0))
    app.deliver()
    assert severities(app, anna) == [3]
    assert app.mailer.kinds() == ["alert", "alert"]


def test_a_graver_edit_overtakes_the_mail_that_still_waits(app: App) -> None:
    """Only one of them is sent."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    app.arrive(anna, replace(SPIKE, distance_m=17_000.0, moving_s=7000.0, elapsed_s=7000.0))
    app.deliver()
    assert app.mailer.kinds() == ["alert"]
    assert "17" in str(app.mailer.taken[0].get_body(("plain",)))


def test_a_late_run_has_the_days_after_it_judged_again(app: App) -> None:
    """A long run of last week, synced late, explains what looked like a spike."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    assert severities(app, anna) == [2]
    late = recording(TODAY - 5 * DAY, 11.8)
    app.arrive(anna, late)
    assert [one.day for one in app.findings(anna) if one.kind == "run"] == [late.day]


def test_a_return_after_years_is_still_a_return(app: App) -> None:
    """However long a break was, the runs before it are the reference for the first run back."""
    anna = app.athlete("Anna")
    app.runs(anna, steady(until=TODAY - timedelta(days=1400)))
    app.arrive(anna, recording(km=9.0))
    assert [finding.kind for finding in app.findings(anna)] == ["return"]


def test_a_deleted_run_withdraws_what_it_caused(app: App) -> None:
    """Deleted at the source and judged again from that day."""
    anna = runner(app)
    app.arrive(anna, SPIKE)
    with app.services.store.transaction() as tx:
        change = tx.runs.drop(anna, "inbox", [SPIKE.external_id], today=TODAY)
        ingest(tx, app.services, anna, [], now=NOW, also_since=change.first_day)
        assert [found.finding.severity for found in tx.findings.withdrawn(anna)] == [2]
    assert app.findings(anna) == ()
    assert app.unsent() == ()


# Impossible dates and figures


def test_a_run_of_tomorrow_waits_until_it_is_tomorrow(app: App) -> None:
    """A watch two days ahead: quarantined first, then counted and mailed like any other run."""
    anna = runner(app)
    app.arrive(anna, recording(TODAY + 2 * DAY, 12.0))
    app.pass_on()
    assert app.findings(anna) == ()
    with app.services.store.reading() as tx:
        assert "future" in str(tx.runs.quarantined(anna)[0].quarantine)
    app.at(TODAY + 2 * DAY)
    app.pass_on()
    assert severities(app, anna) == [2]
    assert app.mailer.kinds() == ["alert"]


def test_an_impossible_run_is_listed_and_never_judged(app: App) -> None:
    """60 km in two hours is a car."""
    anna = runner(app)
    app.arrive(anna, recording(km=60.0, minutes=120))
    app.pass_on()
    assert app.findings(anna) == ()
    with app.services.store.reading() as tx:
        assert "world record" in str(tx.runs.quarantined(anna)[0].quarantine)


# All or nothing


class BrokenComposer(Composer):
    """A composer that always fails."""

    def email(self, *_: object, **__: object) -> NoReturn:
        raise RuntimeError("out of paper")


def test_a_finding_and_its_mail_are_kept_together_or_not_at_all(app: App) -> None:
    """If composing fails nothing is stored, and the next try does it all."""
    anna = runner(app)
    broken = App(replace(app.services, composer=BrokenComposer()), app.mailer)
    with pytest.raises(RuntimeError, match="out of paper"):
        broken.arrive(anna, SPIKE)
    assert app.distances_km(anna)[-1] == 8.0
    assert app.findings(anna) == ()
    app.arrive(anna, SPIKE)
    app.deliver()
    assert app.mailer.kinds() == ["alert"]


def test_a_file_whose_mail_cannot_be_composed_is_taken_in_later(app: App) -> None:
    """The file gets no verdict before its run is stored."""
    anna = runner(app)
    broken = App(replace(app.services, composer=BrokenComposer()), app.mailer)
    app.drop("spike.fit", run_file(12.0))
    app.look()
    with pytest.raises(RuntimeError, match="out of paper"):
        broken.look()
    app.pass_on()
    assert app.distances_km(anna)[-1] == 12.0
    assert app.mailer.kinds() == ["alert"]


# Delivery


def queued(app: App, *names: str) -> None:
    """Queue an alert for each of these athletes."""
    for name in names:
        anna = app.athlete(name)
        app.runs(anna, steady())
        app.arrive(anna, SPIKE)


def test_a_temporary_refusal_is_tried_again_a_minute_later(app: App) -> None:
    """One mail's refusal doesn't stop the next."""
    queued(app, "Anna", "Ben")
    app.mailer.answers = [refused("451 not now")]
    done = app.deliver()
    assert (done.sent, done.troubles) == (1, ("mail to anna@example.org: 451 not now",))
    app.now += timedelta(seconds=59)
    assert app.deliver().sent == 0
    app.now += timedelta(seconds=1)
    assert app.deliver().sent == 1
    assert sorted(str(mail["To"]) for mail in app.mailer.taken) == [
        "anna@example.org",
        "ben@example.org",
    ]


def test_a_permanent_refusal_ends_the_mail_with_its_reason(app: App) -> None:
    """It's never tried again."""
    queued(app, "Anna")
    app.mailer.answers = [refused("550 no such user", permanent=True)]
    app.deliver()
    app.now += timedelta(hours=9)
    app.deliver()
    assert app.mailer.tries == 1
    assert [(one.state, one.last_error) for one in app.unsent()] == [("dead", "550 no such user")]


def test_a_refused_login_pauses_all_mail_and_costs_no_attempt(app: App) -> None:
    """One try in five minutes until the password is fixed."""
    queued(app, "Anna", "Ben")
    app.mailer.answers = [refused("535 wrong password", login=True)] * 2
    assert len(app.deliver().troubles) == 1
    app.now += timedelta(minutes=4)
    app.deliver()
    assert app.mailer.tries == 1
    app.now += timedelta(minutes=1)
    app.deliver()
    assert app.mailer.tries == 2
    assert {one.attempts for one in app.unsent()} == {0}
    app.now += timedelta(minutes=5)
    assert app.deliver().sent == 2


def test_an_unreachable_server_is_asked_once_a_minute(app: App) -> None:
    """Not once for each waiting mail."""
    queued(app, "Anna", "Ben")
    app.mailer.answers = [refused("no answer", unreachable=True)]
    app.deliver()
    assert app.mailer.tries == 1
    app.now += timedelta(minutes=1)
    assert app.deliver().sent == 2


def test_a_surprise_over_one_mail_stops_no_other(app: App) -> None:
    """An unexpected error affects one mail, which is tried again later."""
    queued(app, "Anna", "Ben")
    app.mailer.answers = [RuntimeError("a bug")]
    done = app.deliver()
    assert done.sent == 1
    assert "a bug" in done.troubles[0]
    app.now += timedelta(minutes=1)
    assert app.deliver().sent == 1


class Killed(BaseException):
    """Simulates the end of the process."""


@pytest.mark.parametrize(
    ("dies", "perhaps_twice"),
    [
        pytest.param(Killed(), False, id="before the dot"),
        pytest.param(("dot", Killed()), True, id="at the dot"),
    ],
)
def test_a_mail_whose_sender_died_goes_out_again(
    app: App, dies: BaseException | tuple[str, BaseException], perhaps_twice: bool
) -> None:
    """Nothing is lost; a possible duplicate is flagged and has the same Message-ID."""
    queued(app, "Anna")
    app.mailer.answers = [dies]
    (before,) = app.unsent()
    with pytest.raises(Killed):
        app.deliver()
    app.deliver()
    assert [mail["Message-ID"] for mail in app.mailer.taken] == [before.message_id]
    with app.services.store.reading() as tx:
        flag = tx.connection.exec_driver_sql("SELECT perhaps_twice FROM outbox").scalar_one()
    assert bool(flag) is perhaps_twice


# Laws


@dataclass(frozen=True)
class State:
    """An athlete's runs and findings, without ids and times of storing."""

    runs: frozenset[tuple[Run, tuple[SourceName, ...], str | None]]
    findings: frozenset[tuple[date, str, int, float, float]]


def state(app: App, athlete: Athlete) -> State:
    with app.services.store.reading() as tx:
        return State(
            frozenset(
                (
                    replace(kept.run, id=0),
                    tuple(source for source, _ in kept.sources),
                    kept.quarantine,
                )
                for kept in tx.runs.all(athlete)
            ),
            frozenset(
                (f.day, f.kind, f.severity, f.observed_m, f.baseline_m)
                for f in (found.finding for found in tx.findings.standing(athlete))
            ),
        )


def told(day: int, km: float, source: SourceName, hour: int) -> Recording:
    return recording(TODAY - day * DAY, km, at=time(hour), source=source,
                     external_id=f"{source} {day} {hour} {km}")  # fmt: skip


arrivals = st.lists(
    st.builds(
        told,
        st.integers(0, 9),
        st.sampled_from([7.0, 8.0, 8.2, 12.0, 12.3, 20.0, 301.0]),
        st.sampled_from(["inbox", "import", "strava"]),
        st.sampled_from([6, 17]),
    ),
    max_size=8,
    unique_by=lambda one: (one.source, one.external_id),
)


@settings(max_examples=10)
@given(st.data(), arrivals)
def test_order_and_batches_of_arrival_change_neither_runs_nor_findings(
    app: App, data: st.DataObject, arrived: list[Recording]
) -> None:
    """One by one, in any order, or all at once: the same runs, the same findings."""
    stamp = uuid4()
    at_once, scattered = app.athlete(f"At once {stamp}"), app.athlete(f"Scattered {stamp}")
    for athlete in (at_once, scattered):
        app.runs(athlete, steady(until=TODAY - 10 * DAY))
    app.runs(at_once, arrived)
    for batch in batches(data, arrived):
        app.runs(scattered, batch)
    assert state(app, scattered) == state(app, at_once)


def batches(data: st.DataObject, arrived: list[Recording]) -> Iterable[list[Recording]]:
    """The arrivals in another order, cut into random batches, some repeated."""
    shuffled = data.draw(st.permutations(arrived))
    cuts = data.draw(st.sets(st.integers(0, len(shuffled)), max_size=3))
    edges = [0, *sorted(cuts), len(shuffled)]
    for first, last in pairwise(edges):
        yield shuffled[first:last]
    yield data.draw(st.permutations(arrived))[:2]


def test_ticks_are_kept_with_their_trouble(app: App) -> None:
    """`status` uses them to tell whether the worker is running."""
    record_tick(app.services, "inbox", Tick(NOW, "folder gone"))
    record_tick(app.services, "inbox", Tick(NOW + DAY, None))
    with app.services.store.reading() as tx:
        assert dict(tx.progress.ticks()) == {"inbox": Tick(NOW + DAY, None)}
