"""What is stored for plans: the last change, since when a calendar is open, the mailed race."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from tests.store.older import THEN
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Race, Recording
from worker.links import Link
from worker.store import Store

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
RACE = Race("Spring", date(2027, 5, 9), 21_100.0)


def mira(store: Store) -> Athlete:
    with store.transaction() as tx:
        return tx.athletes.add(Athlete(0, "Mira", "m@example.org", THEN))


def test_settings_and_answers_change_the_plan_and_no_clock_takes_that_back(store: Store) -> None:
    """Before any change it's as old as the athlete."""
    who = mira(store)
    with store.transaction() as tx:
        assert tx.athletes.plan_changed_at(who) == THEN
        tx.athletes.change(replace(who, race=RACE), now=THEN + HOUR)
        assert tx.athletes.plan_changed_at(who) == THEN + HOUR
        tx.checkins.save(who, CheckIn(THEN.date(), "sore"), now=THEN + 2 * HOUR)
        assert tx.athletes.plan_changed_at(who) == THEN + 2 * HOUR
        tx.checkins.save(who, CheckIn(THEN.date(), "fine"), now=THEN + HOUR)
        assert tx.athletes.plan_changed_at(who) == THEN + 2 * HOUR


def test_a_recording_changes_the_plan_when_it_is_saved_but_not_by_its_title(store: Store) -> None:
    """Saving unchanged settings changes nothing either."""
    who, saves = mira(store), 0
    run = Recording("strava", "1", THEN, THEN.date(), 5000.0, 1800.0, 1800.0, title="Morning")

    def save(one: Recording) -> datetime:
        nonlocal saves
        saves += 1
        with store.transaction() as tx:
            tx.runs.save(who, [one], now=THEN + saves * HOUR, today=THEN.date())
            return tx.athletes.plan_changed_at(who)

    assert save(run) == THEN + HOUR
    assert save(run) == THEN + HOUR
    assert save(replace(run, title="Evening")) == THEN + HOUR
    assert save(replace(run, title="Evening", distance_m=6000.0)) == THEN + 4 * HOUR


def test_the_calendar_is_closed_by_itself_or_with_all_links(store: Store) -> None:
    """Closing it leaves the other links open; one made from then on is valid."""
    who = mira(store)
    with store.transaction() as tx:
        first = tx.athletes.calendar_from(who)
        assert first == THEN
        made = Link(who.link_id, first, {})
        assert tx.athletes.of_link(made, calendar=True) == (who, False)
        tx.athletes.close_calendar(who, now=THEN + HOUR)
        assert tx.athletes.of_link(made, calendar=True) == (who, True)
        assert tx.athletes.of_link(made) == (who, False)
        second = replace(made, signed_at=tx.athletes.calendar_from(who))
        assert tx.athletes.of_link(second, calendar=True) == (who, False)
        tx.athletes.close_links(None, now=THEN + 2 * HOUR)
        assert tx.athletes.of_link(second, calendar=True) == (who, True)
        assert tx.athletes.calendar_from(who) > THEN + 2 * HOUR


def test_a_weeks_mail_knows_the_race_it_told_of(store: Store) -> None:
    """A skipped week's mail had no race, and neither had one before there was a race."""
    who, week = replace(mira(store), race=RACE), date(2026, 11, 16)
    with store.transaction() as tx:
        tx.progress.save_week(replace(who, race=None), week - WEEK, state="queued")
        tx.progress.save_week(who, week, state="queued")
        tx.progress.save_week(who, week + WEEK, state="skipped")
        assert tx.progress.race_told(who, week - WEEK) is None
        assert tx.progress.race_told(who, week) == replace(RACE, name="")
        assert tx.progress.race_told(who, week + WEEK) is None
        assert tx.progress.race_told(who, week + 2 * WEEK) is None
