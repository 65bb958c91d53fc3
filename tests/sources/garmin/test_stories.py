"""A runner with Garmin from giving a key on: the first sync, following changes, the cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from simulators.activity_files import Leg, fit_activity
from simulators.garmin import DOWNLOAD, EXCHANGE, SEARCH
from simulators.http_server import Server
from tests.sources.garmin.app import DAY, HOUR, GarminApp, garmin_app
from worker.pipeline.credentials import encrypt_all_anew
from worker.pipeline.sync import SourceSync
from worker.sources import NotRead
from worker.sources.base import SourceError
from worker.sources.formats.unpack import Member
from worker.store import Encrypter

MINUTE = timedelta(minutes=1)


class TestConnecting:
    def test_from_key_to_the_first_warning(self, app: GarminApp) -> None:
        """Give a key, sync without mails, then one run far beyond the others: one mail about it."""
        athlete, account = app.add()
        for back in range(24):
            app.service.add(account, app.clock() - back * 5 * DAY - HOUR, 8_000)
        done = app.connect(athlete, account, days=90)
        assert done.ends_at is not None
        assert done.ends_at.date() == (app.clock() + 90 * DAY).date()
        app.turn()
        assert len(app.runs(athlete)) == 24
        assert app.mail_texts("alert") == []
        app.service.add(account, app.service.clock.step(DAY) - HOUR, 16_000)
        app.turn()
        assert len(app.mail_texts("alert")) == 1
        assert "16" in app.mail_texts("alert")[0]

    @pytest.mark.parametrize(
        ("pasted", "words"),
        [("", "no key"), ("two words", "isn't a key"), ("nonsense", "doesn't accept")],
    )
    def test_a_key_that_does_not_work_changes_nothing(
        self, app: GarminApp, pasted: str, words: str
    ) -> None:
        """The existing key stays and works; the message doesn't repeat what was pasted."""
        athlete, account = app.connected()
        with pytest.raises(SourceError, match=words) as told:
            app.give(athlete, pasted)
        assert not pasted or pasted not in str(told.value)
        app.service.add(account, app.clock() - HOUR)
        app.turn()
        assert len(app.runs(athlete)) == 1

    def test_nothing_secret_stands_in_the_database(self, app: GarminApp) -> None:
        """Neither the key nor today's token can be read from the file."""
        athlete, account = app.add()
        key = app.service.make_key(account)
        app.give(athlete, key)
        app.turn()
        for secret in (key, *app.service.tokens):
            assert secret.encode() not in app.stored()

    def test_keys_rotate_and_the_old_one_can_go(self, app: GarminApp) -> None:
        """After resealing, the new sealing key alone opens every key."""
        athlete, account = app.connected()
        app.service.add(account, app.clock() - HOUR)
        old = (app.folder / "keys").read_text().split()
        rotating = replace(app.garmin, encrypter=Encrypter(["new", *old]))
        assert encrypt_all_anew(app.changed(rotating)) == 1
        alone = app.changed(replace(app.garmin, encrypter=Encrypter(["new"])))
        SourceSync.of(alone, "garmin", app.clock).poll(athlete)
        assert len(app.runs(athlete)) == 1

    def test_a_lost_sealing_key_is_said(self, app: GarminApp) -> None:
        """Nothing breaks; the state says what to do."""
        athlete, _ = app.connected()
        lost = app.changed(replace(app.garmin, encrypter=Encrypter(["another"])))
        SourceSync.of(lost, "garmin", app.clock).all_due()
        assert app.state(athlete).state == "failing"
        assert "put the key back" in (app.state(athlete).last_error or "")


class TestCalls:
    def test_a_first_sync_of_300_is_a_page_for_45(self, app: GarminApp) -> None:
        """All 300 count after eight pages, before a file is fetched."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 300, every=30 * HOUR)
        SourceSync.of(app.services, "garmin", app.clock).all_due(7)
        assert len(app.runs(athlete)) == 300
        assert app.service.calls(SEARCH) <= 8
        assert app.service.calls(DOWNLOAD) == 0
        assert app.state(athlete).backlog == 300

    def test_each_file_of_a_first_sync_is_a_call(self, app: GarminApp) -> None:
        """They come after the pages, each requested once."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 60, every=30 * HOUR)
        app.turn()
        assert app.service.calls(SEARCH) <= 3
        assert app.service.calls(DOWNLOAD) == 60
        assert app.service.calls(EXCHANGE) == 1
        assert app.state(athlete).backlog == 0
        assert all(r.device for r in app.recorded(athlete).values())

    def test_never_more_than_a_call_a_second_whoever_asks(self, app: GarminApp) -> None:
        """Across three athletes and all their requests."""
        for name in ("Mira", "Timo", "Jo"):
            _, account = app.connected(name)
            app.service.weeks_of_runs(account, app.clock() - HOUR, 12)
        app.turn()
        assert len(app.service.times) > 36
        assert max(Counter(app.service.times).values()) == 1
        gaps = [b - a for a, b in zip(app.service.times, app.service.times[1:], strict=False)]
        assert min(gaps) >= timedelta(seconds=1)

    def test_a_turn_of_the_worker_ends_though_history_does_not(self, app: GarminApp) -> None:
        """Newest files first; the next turn continues where the last one ended."""
        athlete, account = app.connected()
        made = app.service.weeks_of_runs(account, app.clock() - HOUR, 40)
        SourceSync.of(app.services, "garmin", app.clock).all_due(20)
        read = {i for i, r in app.recorded(athlete).items() if r.device}
        assert read
        assert read == {str(a.id) for a in made[: len(read)]}
        assert app.service.calls(DOWNLOAD) < 20
        for _ in range(3):
            SourceSync.of(app.services, "garmin", app.clock).all_due(20)
        assert app.service.calls(DOWNLOAD) == 40

    def test_a_new_run_comes_in_while_files_wait(self, app: GarminApp) -> None:
        """New runs come first: one page and their own file."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 300, every=30 * HOUR)
        SourceSync.of(app.services, "garmin", app.clock).all_due(7)
        new = app.service.add(account, app.service.clock.step(HOUR) - 50 * MINUTE)
        before = app.service.calls()
        SourceSync.of(app.services, "garmin", app.clock).all_due(0)
        assert app.recorded(athlete)[str(new.id)].device
        assert app.service.calls() == before + 2

    def test_a_poll_without_a_run_is_one_call_and_none_before_its_time(
        self, app: GarminApp
    ) -> None:
        """One call an hour; known files aren't fetched again, and rides never."""
        _, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 6)
        app.turn()
        before = app.service.calls()
        app.turn()
        assert app.service.calls() == before
        app.service.add(account, app.clock() - HOUR, 30_000, kind="cycling")
        app.pass_by(2 * HOUR)
        assert app.service.calls() == before + 2

    @pytest.mark.parametrize(("every", "polls"), [(HOUR, 24), (DAY, 1)])
    def test_a_day_without_running_is_a_call_a_poll(
        self, server: Server, tmp_path: Path, every: timedelta, polls: int
    ) -> None:
        """The day's look back is one of them. In addition one exchange, as tokens live a day.

        Also for daily runners: 42 days are one page.
        """
        with garmin_app(server, tmp_path, every=every) as app:
            _, account = app.connected()
            app.service.weeks_of_runs(account, app.clock() - HOUR, 43, every=DAY)
            app.turn()
            before = app.service.calls(), app.service.calls(EXCHANGE)
            app.pass_by(2 * DAY, step=every)
            asked = app.service.calls() - before[0]
            exchanged = app.service.calls(EXCHANGE) - before[1]
            assert asked - exchanged == 2 * polls
            assert exchanged == 2

    def test_no_page_is_ever_larger_than_garmin_bears(self, app: GarminApp) -> None:
        """45 at most: its own default of 99 results in a 500."""
        _, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 200)
        SourceSync.of(app.services, "garmin", app.clock).all_due(7)
        asked = [int(q.query["limit"]) for q in app.service.log if q.path == SEARCH]
        assert asked
        assert max(asked) == 45

    def test_a_first_sync_that_was_killed_goes_on_where_it_was(self, app: GarminApp) -> None:
        """Nothing is fetched twice except the file in progress, and nothing is mailed."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 12)
        read = app.garmin.read_file
        count = 0

        def dying(content: bytes, name: str) -> Iterable[Member]:
            nonlocal count
            count += 1
            if count == 5:
                raise KeyboardInterrupt
            return read(content, name)

        with pytest.raises(KeyboardInterrupt):
            SourceSync.of(
                app.changed(replace(app.garmin, read_file=dying)), "garmin", app.clock
            ).all_due()
        assert len(app.runs(athlete)) == 12
        app.turn()
        assert app.service.calls(DOWNLOAD) == 13
        assert all(r.device for r in app.recorded(athlete).values())
        assert app.mail_texts("alert") == []


class TestFollowing:
    def test_the_file_is_believed_and_the_summary_where_there_is_none(self, app: GarminApp) -> None:
        """A run entered by hand has no file, another's is torn: both count, with a note."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - 3 * DAY, 5)
        app.turn()
        good = app.service.add(account, app.clock() - 3 * HOUR, 8_004, recorded_m=8_000.5)
        typed = app.service.add(account, app.clock() - 2 * DAY, 5_000, has_file=False)
        torn = app.service.add(account, app.clock() - 9 * HOUR, 6_000, file=b"no fit at all")
        app.pass_by(HOUR)
        told = app.recorded(athlete)
        assert told[str(good.id)].device
        assert told[str(good.id)].distance_m == pytest.approx(8_000.5)
        assert told[str(good.id)].sha256 is not None
        for one, words in ((typed, "no file"), (torn, "not a FIT")):
            assert not told[str(one.id)].device
            assert words in (told[str(one.id)].note or "")

    def test_a_file_that_cannot_be_had_now_is_tried_again(self, app: GarminApp) -> None:
        """Its summary counts at once; the others continue; later the file is used."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - 3 * DAY, 3)
        app.turn()
        bad = app.service.add(account, app.clock() - 3 * HOUR, 7_000)
        fine = app.service.add(account, app.clock() - 9 * HOUR, 6_000)
        app.server.fault("status", f"{DOWNLOAD}{bad.id}", times=2, status=500)
        app.pass_by(HOUR)
        assert app.recorded(athlete)[str(fine.id)].device
        assert not app.recorded(athlete)[str(bad.id)].device
        app.pass_by(2 * HOUR)
        assert app.recorded(athlete)[str(bad.id)].device

    def test_a_file_that_is_forbidden_or_breaks_us_stops_no_other(self, app: GarminApp) -> None:
        """Both are deferred and older files are read; their summaries count."""
        athlete, account = app.connected()
        made = app.service.weeks_of_runs(account, app.clock() - HOUR, 12)
        app.server.fault("status", f"{DOWNLOAD}{made[0].id}", times=9, status=403)
        read = app.garmin.read_file

        def breaking(content: bytes, name: str) -> Iterable[Member]:
            if str(made[1].id) in name:
                raise RuntimeError("out of ink")
            return read(content, name)

        broken = app.changed(replace(app.garmin, read_file=breaking))
        SourceSync.of(broken, "garmin", app.clock).all_due()
        told = app.recorded(athlete)
        assert len(told) == 12
        assert {i for i, r in told.items() if not r.device} == {str(a.id) for a in made[:2]}

    def test_a_file_that_could_not_be_read_for_now_is_read_later(self, app: GarminApp) -> None:
        """The reader was killed: the summary counts meanwhile, and the file is fetched again."""
        athlete, account = app.connected()
        run = app.service.add(account, app.clock() - HOUR, 8_004, recorded_m=8_000.5)

        def killed(content: bytes, name: str) -> Iterable[Member]:
            return [Member(name, None, NotRead("its reader was killed"))]

        broken = app.changed(replace(app.garmin, read_file=killed))
        SourceSync.of(broken, "garmin", app.clock).all_due()
        assert not app.recorded(athlete)[str(run.id)].device
        app.pass_by(6 * HOUR)
        assert app.recorded(athlete)[str(run.id)].device

    def test_a_file_that_never_can_be_had_is_given_up(self, app: GarminApp) -> None:
        """After eight tries the summary stays, and no more requests are made."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - 3 * DAY, 3)
        app.turn()
        bad = app.service.add(account, app.clock() - 3 * HOUR, 7_000)
        app.server.fault("status", f"{DOWNLOAD}{bad.id}", times=99, status=500)
        app.pass_by(6 * DAY, step=3 * HOUR)
        tried = app.service.calls(f"{DOWNLOAD}{bad.id}")
        assert tried <= 9
        app.pass_by(3 * DAY, step=3 * HOUR)
        assert app.service.calls(f"{DOWNLOAD}{bad.id}") == tried
        assert app.runs(athlete)[str(bad.id)] == 7_000.0

    def test_edited_deleted_or_turned_into_a_ride_within_a_day(self, app: GarminApp) -> None:
        """Five weeks back, which only the daily look covers; an edit overrides the file."""
        athlete, account = app.connected()
        made = app.service.weeks_of_runs(account, app.clock() - HOUR, 18)
        app.turn()
        edited, deleted, ride = made[14:17]
        edited.distance_m, edited.moving_s, edited.elapsed_s = 12_345.0, 3_700.0, 3_800.0
        ride.kind = "cycling"
        del app.service.activities[deleted.id]
        app.pass_by(DAY + HOUR, step=HOUR)
        runs = app.runs(athlete)
        assert runs[str(edited.id)] == 12_345.0
        assert app.recorded(athlete)[str(edited.id)].edited
        assert str(deleted.id) not in runs
        assert str(ride.id) not in runs
        assert len(runs) == 16
        assert app.service.calls(DOWNLOAD) == 18

    def test_an_edit_from_before_we_came_is_believed_too(self, app: GarminApp) -> None:
        """The summary differs from the file: the athlete corrected it at Garmin."""
        athlete, account = app.connected()
        made = app.service.add(account, app.clock() - HOUR, 10_000, recorded_m=9_100)
        app.turn()
        told = app.recorded(athlete)[str(made.id)]
        assert (told.distance_m, told.edited) == (10_000, True)
        assert told.sha256 is not None

    def test_of_a_multisport_activity_the_running_legs_count(self, app: GarminApp) -> None:
        """Only its file has them; when the activity is deleted, they all are."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - 3 * DAY, 8)
        app.turn()
        start = app.clock() - 4 * HOUR
        legs = [
            Leg(start, 3_000, 900),
            Leg(start + HOUR, 20_000, 2_400, sport="cycling"),
            Leg(start + 2 * HOUR, 2_000, 600),
        ]
        made = app.service.add(
            account, start, 25_000, kind="multi_sport", file=fit_activity(legs, offset_h=1)
        )
        app.pass_by(HOUR)
        runs = app.runs(athlete)
        assert (runs[str(made.id)], runs[f"{made.id}:1"]) == (3_000.0, 2_000.0)
        del app.service.activities[made.id]
        app.pass_by(HOUR)
        assert not [name for name in app.runs(athlete) if name.startswith(str(made.id))]

    def test_one_rotten_row_stops_no_other(self, app: GarminApp) -> None:
        """It's listed with its reason until it can be read."""
        athlete, account = app.connected()
        made = app.service.weeks_of_runs(account, app.clock() - HOUR, 5)
        made[1].spoilt, made[1].has_file = {"distance": None}, False
        made[2].spoilt = {"activityId": None}
        made[3].spoilt = {"startTimeGMT": "soon", "averageHR": "x"}
        app.turn()
        assert app.runs(athlete).keys() == {str(made[n].id) for n in (0, 3, 4)}
        with app.services.store.reading() as tx:
            told = {one.external_id: one.reason for one in tx.source("garmin").unreadable(athlete)}
        assert told.keys() == {str(made[1].id)}

    def test_a_source_that_suddenly_shows_nothing_is_believed_a_day_later(
        self, app: GarminApp
    ) -> None:
        """The runs stay while this is doubted, and the doubt is reported."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock() - HOUR, 20)
        app.turn()
        app.service.activities.clear()
        app.pass_by(23 * HOUR, step=HOUR)
        assert len(app.runs(athlete)) == 20
        assert "suddenly" in (app.state(athlete).last_error or "")
        app.pass_by(2 * HOUR, step=HOUR)
        assert app.runs(athlete) == {}

    def test_three_days_down_and_everything_is_there(self, app: GarminApp) -> None:
        """One pass after an outage catches up."""
        athlete, account = app.connected()
        app.service.weeks_of_runs(account, app.clock(), 6)
        app.turn()
        for _ in range(3):
            app.service.add(account, app.service.clock.step(DAY) - HOUR)
        app.turn()
        assert len(app.runs(athlete)) == 9


class TestTwice:
    @pytest.mark.parametrize("first", ["folder", "garmin"])
    def test_the_same_file_dropped_and_fetched_is_one_run(self, app: GarminApp, first: str) -> None:
        """By its digest, whichever comes first; both sources are named."""
        athlete, account = app.add()
        made = app.service.add(account, app.clock() - 3 * HOUR, 8_000)
        for way in ("folder", "garmin") if first == "folder" else ("garmin", "folder"):
            if way == "folder":
                (app.folder / "inbox" / "a.fit").write_bytes(made.original)
                app.look()
            else:
                app.connect(athlete, account)
                app.turn()
        with app.services.store.reading() as tx:
            [kept] = tx.runs.all(athlete)
        assert {source for source, _ in kept.sources} == {"inbox", "garmin"}
