"""A runner with intervals.icu, from the key to the mail."""

from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from simulators.intervals import ACTIVITIES, ACTIVITY
from tests.sources.intervals.app import DAY, HOUR, IntervalsApp
from worker.sources.base import SourceError
from worker.sources.intervals.client import HIDDEN_BY_STRAVA

MINUTE = timedelta(minutes=1)


def test_a_key_leads_to_runs_with_their_files(app: IntervalsApp) -> None:
    """Summaries at once, files one by one after them; each run gets its own file's values."""
    athlete, account = app.connected()
    made = app.service.weeks_of_runs(account, app.clock() - HOUR, 60)
    app.turn()
    told = app.recorded(athlete)
    assert told.keys() == {one.id for one in made}
    assert all(one.sha256 for one in told.values())
    assert (app.state(athlete).state, app.state(athlete).backlog) == ("ok", 0)
    assert app.service.calls(ACTIVITIES) <= 3


def test_a_quiet_poll_is_one_call_and_a_new_run_two(app: IntervalsApp) -> None:
    """A new run's file is read before anything is judged."""
    athlete, account = app.connected()
    app.service.weeks_of_runs(account, app.clock() - HOUR, 6)
    app.turn()
    app.pass_by(2 * HOUR)
    before = app.service.calls()
    app.pass_by(HOUR)
    assert app.service.calls() == before + 1
    new = app.service.add(account, app.clock() - 30 * MINUTE, 9_000)
    app.pass_by(HOUR)
    assert app.service.calls() == before + 3
    assert app.recorded(athlete)[new.id].sha256 is not None


def test_edits_deletes_and_changed_sports_are_followed(app: IntervalsApp) -> None:
    """A deleted id, a deletion mark, a run turned into a ride, a corrected distance."""
    athlete, account = app.connected()
    made = app.service.weeks_of_runs(account, app.clock() - HOUR, 10)
    app.turn()
    del app.service.activities[made[0].id]
    made[1].deleted = True
    made[2].kind = "Ride"
    made[3].distance_m = 4_321.0
    app.pass_by(HOUR)
    runs = app.runs(athlete)
    assert not {made[n].id for n in range(3)} & runs.keys()
    assert runs[made[3].id] == 4_321.0
    assert len(runs) == 7


def test_what_strava_hides_is_said_and_is_no_failure(app: IntervalsApp) -> None:
    """Once it comes from the watch, nothing more is said."""
    athlete, account = app.connected()
    for one in app.service.weeks_of_runs(account, app.clock() - HOUR, 6):
        one.origin = "STRAVA"
    app.turn()
    assert app.runs(athlete) == {}
    assert app.state(athlete).state == "ok"
    assert app.state(athlete).last_error == HIDDEN_BY_STRAVA
    assert app.service.calls(ACTIVITY) == 0
    app.pass_by(22 * DAY, step=DAY)
    weekly = [message_from_bytes(one.read_bytes(), policy=default) for one in app.mails("weekly")]
    said = [" ".join(str(one.get_body(("plain",))).split()) for one in weekly]
    assert len(said) == 3
    assert [HIDDEN_BY_STRAVA[:40] in one for one in said] == [True, False, False]
    for one in app.service.activities.values():
        one.origin = "GARMIN_CONNECT"
    app.pass_by(26 * HOUR)
    assert app.state(athlete).last_error is None
    assert len(app.runs(athlete)) == 6


def test_manual_torn_and_empty_files_leave_the_summary(app: IntervalsApp) -> None:
    """With a note that says why."""
    athlete, account = app.connected()
    app.turn()
    manual = app.service.add(account, app.clock() - 3 * DAY, has_file=False)
    empty = app.service.add(account, app.clock() - 2 * DAY, file=b"")
    torn = app.service.add(account, app.clock() - DAY, file=b"FIT, but not really")
    app.pass_by(2 * HOUR)
    told = app.recorded(athlete)
    assert told.keys() == {manual.id, empty.id, torn.id}
    assert all("by intervals.icu's summary" in (one.note or "") for one in told.values())


def test_a_replaced_key_asks_for_the_new_one_once(app: IntervalsApp) -> None:
    """One mail, a state, and no more calls; the new key repairs it."""
    athlete, account = app.connected()
    app.turn()
    key = app.service.make_key(account)
    app.pass_by(6 * HOUR)
    assert app.state(athlete).state == "failing"
    assert len(app.mails("reconnect")) == 1
    before = app.service.calls()
    app.pass_by(3 * HOUR)
    assert app.service.calls() == before
    app.give(athlete, key)
    app.turn()
    assert app.state(athlete).state == "ok"


def test_a_wrong_key_changes_nothing_and_anothers_is_refused(app: IntervalsApp) -> None:
    """Each with a message."""
    mira, _ = app.connected("Mira")
    timo, account = app.connected("Timo")
    with pytest.raises(SourceError, match="doesn't accept this key"):
        app.give(mira, "wrong")
    key = app.service.make_key(account)
    with pytest.raises(SourceError, match="connected for another athlete already"):
        app.give(mira, key)
    app.turn()
    assert app.state(timo).state == "ok"


def test_a_busy_service_is_left_alone(app: IntervalsApp) -> None:
    """Pauses grow, nothing is lost, and nobody has to act."""
    athlete, account = app.connected()
    app.turn()
    app.service.busy = 3
    new = app.service.add(account, app.clock())
    app.pass_by(8 * HOUR)
    assert new.id in app.runs(athlete)
    assert app.state(athlete).state == "ok"


def test_from_the_key_to_the_first_mail(app: IntervalsApp) -> None:
    """No mails about the past; the first excessive run is mailed."""
    athlete, account = app.connected()
    app.service.weeks_of_runs(account, app.clock() - HOUR, 24)
    app.turn()
    app.pass_by(DAY)
    assert app.mails("alert") == []
    far = app.service.add(account, app.clock() - 3 * HOUR, 25_000)
    app.pass_by(HOUR)
    assert app.runs(athlete)[far.id] == pytest.approx(25_000, rel=0.01)
    assert len(app.mails("alert")) == 1
