"""What happens to a runner from giving a key on: the first sync, what's followed, what it costs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.formats.build import Leg, fit_activity
from tests.garmin.house import DAY, HOUR, House, house
from tests.garmin.service import DOWNLOAD, EXCHANGE, SEARCH
from tests.strava.server import Server
from worker.pipeline import sync_all_due
from worker.pipeline.credentials import encrypt_all_anew
from worker.pipeline.sync import poll
from worker.sources import SourceError
from worker.sources.formats.unpack import Member
from worker.store import Encrypter

MINUTE = timedelta(minutes=1)


class TestConnecting:
    def test_from_key_to_the_first_warning(self, home: House) -> None:
        """Give a key, sync in silence, then one run far beyond the others: one mail about it."""
        athlete, account = home.add()
        for weeks in range(70):
            home.service.add(account, home.clock() - weeks * 5 * DAY - HOUR, 8_000)
        done = home.connect(athlete, account, days=90)
        assert done.ends_at is not None
        assert done.ends_at.date() == (home.clock() + 90 * DAY).date()
        home.turn()
        assert len(home.runs(athlete)) == 70
        assert home.mails("alert") == []
        home.service.add(account, home.service.clock.step(DAY) - HOUR, 16_000)
        home.turn()
        assert len(home.mails("alert")) == 1
        assert "16" in home.mails("alert")[0]

    @pytest.mark.parametrize(
        ("pasted", "words"),
        [("", "no key"), ("two words", "isn't a key"), ("nonsense", "doesn't accept")],
    )
    def test_a_key_that_does_not_work_changes_nothing(
        self, home: House, pasted: str, words: str
    ) -> None:
        """The one that was there stays, and works; the words don't repeat what was pasted."""
        athlete, account = home.connected()
        with pytest.raises(SourceError, match=words) as told:
            home.give(athlete, pasted)
        assert not pasted or pasted not in str(told.value)
        home.service.add(account, home.clock() - HOUR)
        home.turn()
        assert len(home.runs(athlete)) == 1

    def test_nothing_secret_stands_in_the_database(self, home: House) -> None:
        """Neither the key nor today's token can be read from the file."""
        athlete, account = home.add()
        key = home.service.make_key(account)
        home.give(athlete, key)
        home.turn()
        for secret in (key, *home.service.tokens):
            assert secret.encode() not in home.stored()

    def test_keys_rotate_and_the_old_one_can_go(self, home: House) -> None:
        """After resealing, the new sealing alone opens every key."""
        athlete, account = home.connected()
        home.service.add(account, home.clock() - HOUR)
        old = (home.folder / "keys").read_text().split()
        rotating = replace(home.garmin, encrypter=Encrypter(["new", *old]))
        assert encrypt_all_anew(home.changed(rotating)) == 1
        alone = home.changed(replace(home.garmin, encrypter=Encrypter(["new"])))
        poll(alone, "garmin", athlete, (), home.clock)
        assert len(home.runs(athlete)) == 1

    def test_a_lost_sealing_key_is_said(self, home: House) -> None:
        """Nothing breaks; the state says what to do."""
        athlete, _ = home.connected()
        lost = home.changed(replace(home.garmin, encrypter=Encrypter(["another"])))
        sync_all_due(lost, "garmin", home.clock)
        assert home.state(athlete).state == "failing"
        assert "put the key back" in (home.state(athlete).last_error or "")


class TestCalls:
    def test_a_first_sync_of_300_is_a_page_for_45_and_a_call_for_each_file(
        self, home: House
    ) -> None:
        """All 300 are counted after eight pages; the files come after, a second apart at least."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 300, every=30 * HOUR)
        sync_all_due(home.services, "garmin", home.clock, at_most=7)
        assert len(home.runs(athlete)) == 300
        assert home.service.calls(SEARCH) <= 8
        assert home.service.calls(DOWNLOAD) == 0
        assert home.state(athlete).backlog == 300
        home.turn()
        assert home.service.calls(SEARCH) <= 8
        assert home.service.calls(DOWNLOAD) == 300
        assert home.service.calls(EXCHANGE) == 1
        assert home.state(athlete).backlog == 0
        assert all(r.device for r in home.recorded(athlete).values())

    def test_never_more_than_a_call_a_second_whoever_asks(self, home: House) -> None:
        """Over three athletes and everything that's asked for them."""
        for name in ("Mira", "Timo", "Jo"):
            _, account = home.connected(name)
            home.service.weeks_of_runs(account, home.clock() - HOUR, 12)
        home.turn()
        assert len(home.service.times) > 36
        assert max(Counter(home.service.times).values()) == 1
        gaps = [b - a for a, b in zip(home.service.times, home.service.times[1:], strict=False)]
        assert min(gaps) >= timedelta(seconds=1)

    def test_a_turn_of_the_worker_ends_though_history_does_not(self, home: House) -> None:
        """Newest files first; the next turn goes on where the last one ended."""
        athlete, account = home.connected()
        made = home.service.weeks_of_runs(account, home.clock() - HOUR, 40)
        sync_all_due(home.services, "garmin", home.clock, at_most=20)
        read = {i for i, r in home.recorded(athlete).items() if r.device}
        assert read
        assert read == {str(a.id) for a in made[: len(read)]}
        assert home.service.calls(DOWNLOAD) < 20
        for _ in range(3):
            sync_all_due(home.services, "garmin", home.clock, at_most=20)
        assert home.service.calls(DOWNLOAD) == 40

    def test_a_new_run_comes_in_while_files_wait(self, home: House) -> None:
        """What's new goes first: one page and its own file."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 300, every=30 * HOUR)
        sync_all_due(home.services, "garmin", home.clock, at_most=7)
        new = home.service.add(account, home.service.clock.step(HOUR) - 50 * MINUTE)
        before = home.service.calls()
        sync_all_due(home.services, "garmin", home.clock, at_most=0)
        assert home.recorded(athlete)[str(new.id)].device
        assert home.service.calls() == before + 2

    def test_a_poll_without_a_run_is_one_call_and_none_before_its_time(self, home: House) -> None:
        """Every hour one call; known files aren't fetched again, nor rides at all."""
        _, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 60)
        home.turn()
        before = home.service.calls()
        home.turn()
        assert home.service.calls() == before
        home.service.add(account, home.clock() - HOUR, 30_000, kind="cycling")
        home.pass_by(2 * HOUR)
        assert home.service.calls() == before + 2

    @pytest.mark.parametrize(("every", "polls"), [(HOUR, 24), (DAY, 1)])
    def test_a_day_without_running_is_a_call_a_poll(
        self, server: Server, tmp_path: Path, every: timedelta, polls: int
    ) -> None:
        """The look back of the day is one of them. Beside them one exchange, as tokens live a day.

        So it is for somebody who runs daily too: 42 days are one page.
        """
        with house(server, tmp_path, every=every) as home:
            _, account = home.connected()
            home.service.weeks_of_runs(account, home.clock() - HOUR, 60, every=DAY)
            home.turn()
            before = home.service.calls(), home.service.calls(EXCHANGE)
            home.pass_by(10 * DAY, step=every)
            asked = home.service.calls() - before[0]
            exchanged = home.service.calls(EXCHANGE) - before[1]
            assert asked - exchanged == 10 * polls
            assert exchanged == 10

    def test_no_page_is_ever_larger_than_garmin_bears(self, home: House) -> None:
        """45 at most: its own default of 99 ends in a 500."""
        _, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 200)
        home.turn()
        asked = [int(q.query["limit"]) for q in home.service.log if q.path == SEARCH]
        assert asked
        assert max(asked) == 45

    def test_a_first_sync_that_was_killed_goes_on_where_it_was(self, home: House) -> None:
        """Nothing is fetched twice but the file that was under way, and nothing is mailed."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 30)
        read = home.garmin.read_file
        count = 0

        def dying(content: bytes, name: str) -> Iterable[Member]:
            nonlocal count
            count += 1
            if count == 12:
                raise KeyboardInterrupt
            return read(content, name)

        with pytest.raises(KeyboardInterrupt):
            sync_all_due(home.changed(replace(home.garmin, read_file=dying)), "garmin", home.clock)
        assert len(home.runs(athlete)) == 30
        home.turn()
        assert home.service.calls(DOWNLOAD) == 31
        assert all(r.device for r in home.recorded(athlete).values())
        assert home.mails("alert") == []


class TestFollowing:
    def test_the_file_is_believed_and_the_summary_where_there_is_none(self, home: House) -> None:
        """A run typed in by hand has no file, another's is torn: both count, with a note."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - 3 * DAY, 5)
        home.turn()
        good = home.service.add(account, home.clock() - 3 * HOUR, 8_004, recorded_m=8_000.5)
        typed = home.service.add(account, home.clock() - 2 * DAY, 5_000, has_file=False)
        torn = home.service.add(account, home.clock() - 9 * HOUR, 6_000, file=b"no fit at all")
        home.pass_by(HOUR)
        told = home.recorded(athlete)
        assert told[str(good.id)].device
        assert told[str(good.id)].distance_m == pytest.approx(8_000.5)
        assert told[str(good.id)].sha256 is not None
        for one, words in ((typed, "no file"), (torn, "not a FIT")):
            assert not told[str(one.id)].device
            assert words in (told[str(one.id)].note or "")

    def test_a_file_that_cannot_be_had_now_is_tried_again(self, home: House) -> None:
        """Its summary counts at once; the others go on; later the file is believed."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - 3 * DAY, 3)
        home.turn()
        bad = home.service.add(account, home.clock() - 3 * HOUR, 7_000)
        fine = home.service.add(account, home.clock() - 9 * HOUR, 6_000)
        home.server.fault("status", f"{DOWNLOAD}{bad.id}", times=2, status=500)
        home.pass_by(HOUR)
        assert home.recorded(athlete)[str(fine.id)].device
        assert not home.recorded(athlete)[str(bad.id)].device
        home.pass_by(2 * HOUR)
        assert home.recorded(athlete)[str(bad.id)].device

    def test_a_file_that_is_forbidden_or_breaks_us_stops_no_other(self, home: House) -> None:
        """Both are put off, and the older ones are read; their summaries count."""
        athlete, account = home.connected()
        made = home.service.weeks_of_runs(account, home.clock() - HOUR, 12)
        home.server.fault("status", f"{DOWNLOAD}{made[0].id}", times=9, status=403)
        read = home.garmin.read_file

        def breaking(content: bytes, name: str) -> Iterable[Member]:
            if str(made[1].id) in name:
                raise RuntimeError("out of ink")
            return read(content, name)

        broken = home.changed(replace(home.garmin, read_file=breaking))
        sync_all_due(broken, "garmin", home.clock)
        told = home.recorded(athlete)
        assert len(told) == 12
        assert {i for i, r in told.items() if not r.device} == {str(a.id) for a in made[:2]}

    def test_a_file_that_never_can_be_had_is_given_up(self, home: House) -> None:
        """After eight tries the summary stays, and nothing is asked any more."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - 3 * DAY, 3)
        home.turn()
        bad = home.service.add(account, home.clock() - 3 * HOUR, 7_000)
        home.server.fault("status", f"{DOWNLOAD}{bad.id}", times=99, status=500)
        home.pass_by(6 * DAY, step=HOUR)
        tried = home.service.calls(f"{DOWNLOAD}{bad.id}")
        assert tried <= 9
        home.pass_by(3 * DAY, step=HOUR)
        assert home.service.calls(f"{DOWNLOAD}{bad.id}") == tried
        assert home.runs(athlete)[str(bad.id)] == 7_000.0

    def test_edited_deleted_or_turned_into_a_ride_within_a_day(self, home: House) -> None:
        """Five weeks back, where only the daily look reaches; an edit is believed over the file."""
        athlete, account = home.connected()
        made = home.service.weeks_of_runs(account, home.clock() - HOUR, 60)
        home.turn()
        edited, deleted, ride = made[14:17]
        edited.distance_m, edited.moving_s, edited.elapsed_s = 12_345.0, 3_700.0, 3_800.0
        ride.kind = "cycling"
        del home.service.activities[deleted.id]
        home.pass_by(DAY + HOUR, step=HOUR)
        runs = home.runs(athlete)
        assert runs[str(edited.id)] == 12_345.0
        assert home.recorded(athlete)[str(edited.id)].edited
        assert str(deleted.id) not in runs
        assert str(ride.id) not in runs
        assert len(runs) == 58
        assert home.service.calls(DOWNLOAD) == 60

    def test_an_edit_from_before_we_came_is_believed_too(self, home: House) -> None:
        """The summary differs from the file: the athlete corrected it at Garmin."""
        athlete, account = home.connected()
        made = home.service.add(account, home.clock() - HOUR, 10_000, recorded_m=9_100)
        home.turn()
        told = home.recorded(athlete)[str(made.id)]
        assert (told.distance_m, told.edited) == (10_000, True)
        assert told.sha256 is not None

    def test_of_a_multisport_activity_the_running_legs_count(self, home: House) -> None:
        """Only its file knows them; when the activity goes, they all do."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - 3 * DAY, 8)
        home.turn()
        start = home.clock() - 4 * HOUR
        legs = [
            Leg(start, 3_000, 900),
            Leg(start + HOUR, 20_000, 2_400, sport="cycling"),
            Leg(start + 2 * HOUR, 2_000, 600),
        ]
        made = home.service.add(
            account, start, 25_000, kind="multi_sport", file=fit_activity(legs, offset_h=1)
        )
        home.pass_by(HOUR)
        runs = home.runs(athlete)
        assert (runs[str(made.id)], runs[f"{made.id}:1"]) == (3_000.0, 2_000.0)
        del home.service.activities[made.id]
        home.pass_by(HOUR)
        assert not [name for name in home.runs(athlete) if name.startswith(str(made.id))]

    def test_one_rotten_row_stops_no_other(self, home: House) -> None:
        """It's told with its reason, until it can be read."""
        athlete, account = home.connected()
        made = home.service.weeks_of_runs(account, home.clock() - HOUR, 5)
        made[1].spoilt, made[1].has_file = {"distance": None}, False
        made[2].spoilt = {"activityId": None}
        made[3].spoilt = {"startTimeGMT": "soon", "averageHR": "x"}
        home.turn()
        assert home.runs(athlete).keys() == {str(made[n].id) for n in (0, 3, 4)}
        with home.services.store.reading() as tx:
            told = {one.external_id: one.reason for one in tx.source("garmin").unreadable(athlete)}
        assert told.keys() == {str(made[1].id)}

    def test_a_source_that_suddenly_shows_nothing_is_believed_a_day_later(
        self, home: House
    ) -> None:
        """The runs stay while it's doubted, and the doubt is said."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock() - HOUR, 20)
        home.turn()
        home.service.activities.clear()
        home.pass_by(23 * HOUR, step=HOUR)
        assert len(home.runs(athlete)) == 20
        assert "suddenly" in (home.state(athlete).last_error or "")
        home.pass_by(2 * HOUR, step=HOUR)
        assert home.runs(athlete) == {}

    def test_three_days_down_and_everything_is_there(self, home: House) -> None:
        """One pass after an outage catches up."""
        athlete, account = home.connected()
        home.service.weeks_of_runs(account, home.clock(), 60)
        home.turn()
        for _ in range(3):
            home.service.add(account, home.service.clock.step(DAY) - HOUR)
        home.turn()
        assert len(home.runs(athlete)) == 63


class TestTwice:
    @pytest.mark.parametrize("first", ["folder", "garmin"])
    def test_the_same_file_dropped_and_fetched_is_one_run(self, home: House, first: str) -> None:
        """By its digest, whichever comes first; both sources are told."""
        athlete, account = home.add()
        made = home.service.add(account, home.clock() - 3 * HOUR, 8_000)
        for way in ("folder", "garmin") if first == "folder" else ("garmin", "folder"):
            if way == "folder":
                (home.folder / "inbox" / "a.fit").write_bytes(made.original)
                home.look()
            else:
                home.connect(athlete, account)
                home.turn()
        with home.services.store.reading() as tx:
            [kept] = tx.runs.kept(athlete)
        assert {source for source, _ in kept.sources} == {"inbox", "garmin"}
