"""Easeback's client against the made Garmin, and what rows and keys are read as."""

import json
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from tests.garmin.service import EXCHANGE, SEARCH, Account, Service
from tests.strava.server import FaultKind, Server
from worker.model import Recording
from worker.sources import NotARun, Unreadable
from worker.sources.garmin import refusals
from worker.sources.garmin.client import Garmin
from worker.sources.garmin.grants import (
    GarminSettings,
    Grant,
    read_expiry,
    read_key,
    token_of,
)
from worker.sources.garmin.pace import LONGEST_PAUSE, Pace
from worker.sources.garmin.rows import read_row

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
ROW = {
    "activityId": 21, "activityName": "Tempo", "activityType": {"typeKey": "running"},
    "eventType": {"typeKey": "race"}, "startTimeGMT": "2026-03-02 22:30:00",
    "startTimeLocal": "2026-03-02 23:30:00", "distance": 8000.0, "duration": 2400.0,
    "elapsedDuration": 2500.0,
}  # fmt: skip


@pytest.fixture
def runner(service: Service) -> Account:
    return service.account("Mira")


@pytest.fixture
def grant(garmin: Garmin, service: Service, runner: Account) -> Grant:
    key = service.make_key(runner)
    token = garmin.exchange(key, now=service.clock.now)
    return Grant(key, service.clock.now + 365 * DAY, token)


class TestTokens:
    def test_a_key_is_exchanged_for_a_token_of_a_day(self, service: Service, grant: Grant) -> None:
        """Its end stands in the token; ten minutes before that it's time for another."""
        assert grant.token is not None
        ends_at = service.clock.now + timedelta(hours=24)
        assert grant.token.expires_at == ends_at
        assert not grant.token.is_stale(ends_at - 11 * MINUTE)
        assert grant.token.is_stale(ends_at - 10 * MINUTE)

    @pytest.mark.parametrize("key", ["unknown", "deleted"])
    def test_a_refused_key_is_a_dead_grant(
        self, garmin: Garmin, service: Service, runner: Account, key: str
    ) -> None:
        """403 for one that never was, 401 for one that is no more."""
        made = service.make_key(runner)
        service.keys[made].deleted = True
        with pytest.raises(refusals.DeadGrant, match="make a new one"):
            garmin.exchange(made if key == "deleted" else key, now=service.clock.now)

    def test_a_token_that_does_not_tell_lives_a_day(self) -> None:
        """As Garmin documents; quotes around it are taken off, and nonsense is none."""
        token = token_of('"opaque"', now=NOW)
        assert token is not None
        assert (token.value, token.expires_at) == ("opaque", NOW + DAY)
        assert token_of("<html> </html>", now=NOW) is None
        assert token_of("a.%%%.c", now=NOW) is not None

    def test_never_shows_key_or_token(self, grant: Grant) -> None:
        """They stay out of texts that end in a log."""
        assert grant.key not in repr(grant)
        assert grant.token is not None
        assert grant.token.value not in repr(grant)


class TestQuestions:
    def test_the_original_comes_as_a_zip(
        self, garmin: Garmin, service: Service, runner: Account, grant: Grant
    ) -> None:
        """With the one Accept that the service takes."""
        made = service.add(runner, NOW - DAY)
        packed = garmin.original(grant, str(made.id), now=NOW)
        assert zipfile.ZipFile(BytesIO(packed)).namelist() == [f"{made.id}_ACTIVITY.fit"]

    def test_without_a_file_that_is_said(
        self, garmin: Garmin, service: Service, runner: Account, grant: Grant
    ) -> None:
        """404: a run typed in by hand."""
        made = service.add(runner, NOW - DAY, has_file=False)
        with pytest.raises(refusals.NotThere):
            garmin.original(grant, str(made.id), now=NOW)

    @pytest.mark.parametrize(
        ("status", "error", "words"),
        [
            (403, refusals.GarminError, "403"),
            (429, refusals.RateLimited, "pause"),
            (500, refusals.Unavailable, "500"),
            (503, refusals.Unavailable, "503"),
        ],
    )
    def test_a_status_means_what_it_means(
        self, garmin: Garmin, server: Server, grant: Grant, status: int,
        error: type[Exception], words: str,
    ) -> None:  # fmt: skip
        """Most come without any words of their own."""
        server.fault("status", SEARCH, status=status)
        with pytest.raises(error, match=words):
            garmin.page(grant, now=NOW)

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [("14", 60), ("600", 600), ("999999", 14_400), ("nonsense", 60), (None, 60),
         ("Mon, 02 Mar 2026 09:17:00 GMT", 600)],
    )  # fmt: skip
    def test_a_pause_is_as_long_as_asked_for_within_reason(
        self, said: str | None, seconds: float
    ) -> None:
        """A minute at least, four hours at most; seconds or a date."""
        error = refusals.refusal(429, retry_after=said, now=NOW)
        assert isinstance(error, refusals.RateLimited)
        assert (error.resets_at - NOW).total_seconds() == seconds

    @pytest.mark.parametrize("kind", ["reset", "hang", "slow", "cut", "cut chunk", "nonsense"])
    def test_whatever_the_network_does_is_an_error_in_words(
        self, garmin: Garmin, server: Server, runner: Account, grant: Grant, kind: FaultKind
    ) -> None:
        """None hangs, none is taken for an answer."""
        for back in range(40):
            server.service.add(runner, NOW - back * DAY)  # type: ignore[attr-defined]
        server.fault(kind, SEARCH)
        with pytest.raises((refusals.Unreachable, refusals.Unavailable)):
            garmin.page(grant, now=NOW)

    def test_a_redirect_is_not_followed(self, server: Server, service: Service) -> None:
        """The key would go somewhere nobody chose."""
        with pytest.raises(ValueError, match="in the clear"):
            GarminSettings(base_url="http://garmin.example")
        garmin = Garmin(GarminSettings(base_url=f"{server.base_url}/elsewhere"))
        with pytest.raises(refusals.GarminError):
            garmin.exchange("x", now=NOW)
        assert service.calls(EXCHANGE) == 0
        garmin.close()


class TestRows:
    def test_a_run_is_read(self) -> None:
        """The day is that of the runner's clock; a race is one by its event."""
        row = read_row(ROW)
        run = row.reading
        assert isinstance(run, Recording)
        assert (run.source, run.external_id, run.day.isoformat()) == ("garmin", "21", "2026-03-02")
        assert (run.distance_m, run.moving_s, run.elapsed_s) == (8000.0, 2400.0, 2500.0)
        assert run.is_race
        assert not run.device
        assert row.wants_file

    @pytest.mark.parametrize(
        ("kind", "sport"),
        [("running", "run"), ("street_running", "run"), ("trail_running", "trail"),
         ("treadmill_running", "treadmill"), ("indoor_running", "treadmill"),
         ("track_running", "track"), ("virtual_run", "virtual"), ("ultra_run", "run")],
    )  # fmt: skip
    def test_every_kind_of_run_is_one(self, kind: str, sport: str) -> None:
        """By Garmin's own keys."""
        run = read_row(ROW | {"activityType": {"typeKey": kind}}).reading
        assert isinstance(run, Recording)
        assert run.sport == sport

    @pytest.mark.parametrize("kind", ["cycling", "walking", "swimrun", "wheelchair_push_run"])
    def test_what_is_no_run_is_not_fetched(self, kind: str) -> None:
        """Its own file isn't asked for."""
        row = read_row(ROW | {"activityType": {"typeKey": kind}})
        assert isinstance(row.reading, NotARun)
        assert not row.wants_file

    @pytest.mark.parametrize(
        "spoilt",
        [{"startTimeGMT": 1_772_490_600_000}, {"startTimeGMT": "2026-03-02T22:30:00.0"},
         {"startTimeGMT": None, "beginTimestamp": 1_772_490_600_000}],
    )  # fmt: skip
    def test_instants_come_in_several_forms(self, spoilt: dict[str, object]) -> None:
        """Text with a blank or a T, or milliseconds."""
        assert read_row(ROW | spoilt).started_at == datetime(2026, 3, 2, 22, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        "rotten",
        [None, [], {}, {"activityId": {}}, ROW | {"activityType": None}, ROW | {"distance": "x"},
         ROW | {"distance": 0}, ROW | {"distance": float("nan")}, ROW | {"activityId": True},
         ROW | {"startTimeGMT": "soon", "beginTimestamp": None}, ROW | {"distance": 10**400}],
    )  # fmt: skip
    def test_a_rotten_row_is_a_value_with_its_reason(self, rotten: object) -> None:
        """Never an exception; what is kept of it is JSON still."""
        row = read_row(rotten)
        assert isinstance(row.reading, Unreadable)
        assert isinstance(json.loads(row.payload), dict)


class TestKeys:
    def test_a_pasted_key_is_taken_as_it_was_meant(self) -> None:
        """With the blanks and the scheme that came along."""
        assert read_key("  ApiKey abc.def-1\n") == "abc.def-1"

    @pytest.mark.parametrize(
        ("said", "until"),
        [("30", "2026-04-01"), ("90 days", "2026-05-31"), ("365d", "2027-03-02"),
         ("2026-09-01", "2026-09-01")],
    )  # fmt: skip
    def test_its_end_is_said_in_days_or_as_a_date(self, said: str, until: str) -> None:
        """To the end of that day, where the athlete lives."""
        ends_at = read_expiry(said, now=NOW, timezone="Europe/Berlin")
        assert f"{ends_at:%Y-%m-%d}" == until
        assert ends_at.hour in {21, 22}

    @pytest.mark.parametrize(
        ("said", "words"),
        [("soon", "isn't when"), ("2026-03-01", "opens nothing"), ("400", "a year at most"),
         ("99999999999999", "isn't when")],
    )  # fmt: skip
    def test_an_end_that_cannot_be_is_one_clear_line(self, said: str, words: str) -> None:
        """It says what would do."""
        with pytest.raises(ValueError, match=words):
            read_expiry(said, now=NOW, timezone="Europe/Berlin")


class TestPace:
    def test_each_call_has_a_second_of_its_own(self) -> None:
        """Whoever asks at the same moment gets the next ones."""
        moments, pace = [], Pace()
        for _ in range(4):
            at, pace = pace.take(NOW)
            moments.append(at)
        assert moments == [NOW + n * SECOND for n in range(4)]
        assert pace.has_room(NOW)
        assert not pace.take(NOW)[1].take(NOW)[1].has_room(NOW)

    def test_a_clock_that_was_set_back_does_not_stop_everything(self) -> None:
        """A moment far ahead was taken by a clock that was wrong."""
        assert Pace(free_at=NOW + 2 * DAY).opens_at(NOW) == NOW

    def test_pauses_double_and_end_with_a_call_that_works(self) -> None:
        """From what was asked for up to four hours."""
        pace, pauses = Pace(), []
        for _ in range(10):
            pace = pace.closed(NOW, NOW + MINUTE)
            assert pace.closed_until is not None
            pauses.append(pace.closed_until - NOW)
        assert pauses[:3] == [MINUTE, 2 * MINUTE, 4 * MINUTE]
        assert pauses[-1] == LONGEST_PAUSE
        assert pace.worked().closed(NOW, NOW + MINUTE).closed_until == NOW + MINUTE
