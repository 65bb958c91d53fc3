"""Easeback's client against the simulated Garmin, and the parsing of rows and keys."""

import json
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from simulators.garmin import EXCHANGE, SEARCH, Account, Service
from simulators.http_server import FaultKind, Server
from worker.domain.models import Athlete, Recording
from worker.pipeline.credentials import key_end
from worker.sources import NotARun, Unreadable
from worker.sources.base import (
    Credential,
    CredentialRevoked,
    NotFound,
    RateLimited,
    SourceError,
    Unavailable,
)
from worker.sources.garmin.client import Garmin, GarminSection, token_end
from worker.sources.garmin.parse import parse_garmin_activity
from worker.sources.rate_limit import LONGEST_PAUSE, Spacing, asked_pause

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
MIRA = Athlete(1, "Mira", "mira@example.org", NOW, timezone="Europe/Berlin")
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
def grant(garmin: Garmin, service: Service, runner: Account) -> Credential:
    pasted = garmin.with_key(service.make_key(runner), ends_at=service.clock.now + 365 * DAY)
    return garmin.refresh(pasted, now=service.clock.now)


class TestTokens:
    def test_a_key_is_exchanged_for_a_token_of_a_day(
        self, garmin: Garmin, service: Service, grant: Credential
    ) -> None:
        """The token says when it ends; ten minutes before that it's renewed."""
        ends_at = service.clock.now + timedelta(hours=24)
        assert grant.secrets[2] == ends_at.isoformat()
        assert not garmin.is_stale(grant, ends_at - 11 * MINUTE)
        assert garmin.is_stale(grant, ends_at - 10 * MINUTE)

    @pytest.mark.parametrize("key", ["unknown", "deleted"])
    def test_a_refused_key_is_a_dead_grant(
        self, garmin: Garmin, service: Service, runner: Account, key: str
    ) -> None:
        """403 for an unknown key, 401 for one that has ended."""
        made = service.make_key(runner)
        service.keys[made].deleted = True
        pasted = garmin.with_key(made if key == "deleted" else key, ends_at=None)
        with pytest.raises(CredentialRevoked, match="make a new one"):
            garmin.refresh(pasted, now=service.clock.now)

    def test_a_token_that_does_not_tell_when_it_ends(self) -> None:
        """One of another format, or with invalid claims; it's used for a day."""
        assert token_end("opaque") is None
        assert token_end("a.%%%.c") is None

    def test_what_is_no_token_is_not_taken_for_one(
        self, garmin: Garmin, server: Server, runner: Account
    ) -> None:
        """Such as a page of a captive portal."""
        key = server.service.make_key(runner)  # type: ignore[attr-defined]
        server.fault("nonsense", EXCHANGE)
        with pytest.raises(Unavailable):
            garmin.refresh(garmin.with_key(key, ends_at=None), now=NOW)

    def test_never_shows_key_or_token(self, grant: Credential) -> None:
        """They are kept out of texts that may be logged."""
        assert not any(secret in repr(grant) for secret in grant.secrets[:2])


class TestQuestions:
    def test_the_original_comes_as_a_zip(
        self, garmin: Garmin, service: Service, runner: Account, grant: Credential
    ) -> None:
        """With the only Accept header that the service takes."""
        made = service.add(runner, NOW - DAY)
        packed = garmin.download(grant, str(made.id), now=NOW)
        assert zipfile.ZipFile(BytesIO(packed)).namelist() == [f"{made.id}_ACTIVITY.fit"]

    def test_without_a_file_that_is_said(
        self, garmin: Garmin, service: Service, runner: Account, grant: Credential
    ) -> None:
        """404: a run entered by hand."""
        made = service.add(runner, NOW - DAY, has_file=False)
        with pytest.raises(NotFound):
            garmin.download(grant, str(made.id), now=NOW)

    @pytest.mark.parametrize(
        ("status", "error", "words"),
        [
            (403, Unavailable, "403"),
            (429, RateLimited, "pause"),
            (500, Unavailable, "500"),
            (503, Unavailable, "503"),
        ],
    )
    def test_a_status_means_what_it_means(
        self, garmin: Garmin, server: Server, grant: Credential, status: int,
        error: type[Exception], words: str,
    ) -> None:  # fmt: skip
        """Most have no message of their own."""
        server.fault("status", SEARCH, status=status)
        with pytest.raises(error, match=words):
            garmin.list_activities(grant, now=NOW)

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [("14", 60), ("600", 600), ("999999", 14_400), ("nonsense", 60), (None, 60),
         ("Mon, 02 Mar 2026 09:17:00 GMT", 600)],
    )  # fmt: skip
    def test_a_pause_is_as_long_as_asked_for_within_reason(
        self, said: str | None, seconds: float
    ) -> None:
        """At least a minute, at most four hours; given in seconds or as a date."""
        assert asked_pause(said, NOW).total_seconds() == seconds

    @pytest.mark.parametrize("kind", ["reset", "hang", "slow", "cut", "cut chunk", "nonsense"])
    def test_whatever_the_network_does_is_an_error_in_words(
        self, garmin: Garmin, server: Server, runner: Account, grant: Credential, kind: FaultKind
    ) -> None:
        """Nothing hangs, and nothing wrong is accepted as an answer."""
        for back in range(40):
            server.service.add(runner, NOW - back * DAY)  # type: ignore[attr-defined]
        server.fault(kind, SEARCH)
        with pytest.raises(Unavailable):
            garmin.list_activities(grant, now=NOW)

    def test_a_redirect_is_not_followed(self, server: Server, service: Service) -> None:
        """The key would be sent to an unknown place."""
        with pytest.raises(ValueError, match="in the clear"):
            Garmin(GarminSection(base_url="http://garmin.example"))
        garmin = Garmin(GarminSection(base_url=f"{server.base_url}/elsewhere"))
        with pytest.raises(SourceError):
            garmin.refresh(garmin.with_key("x", ends_at=None), now=NOW)
        assert service.calls(EXCHANGE) == 0
        garmin.close()


class TestRows:
    def test_a_run_is_read(self) -> None:
        """The day is by the runner's clock; a race is marked by its event."""
        row = parse_garmin_activity(ROW)
        run = row.parsed
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
        """By Garmin's type keys."""
        run = parse_garmin_activity(ROW | {"activityType": {"typeKey": kind}}).parsed
        assert isinstance(run, Recording)
        assert run.sport == sport

    @pytest.mark.parametrize("kind", ["cycling", "walking", "swimrun", "wheelchair_push_run"])
    def test_what_is_no_run_is_not_fetched(self, kind: str) -> None:
        """Its file isn't requested."""
        row = parse_garmin_activity(ROW | {"activityType": {"typeKey": kind}})
        assert isinstance(row.parsed, NotARun)
        assert not row.wants_file

    @pytest.mark.parametrize(
        "spoilt",
        [{"startTimeGMT": 1_772_490_600_000}, {"startTimeGMT": "2026-03-02T22:30:00.0"},
         {"startTimeGMT": None, "beginTimestamp": 1_772_490_600_000}],
    )  # fmt: skip
    def test_instants_come_in_several_forms(self, spoilt: dict[str, object]) -> None:
        """Text with a blank or a T, or milliseconds."""
        assert parse_garmin_activity(ROW | spoilt).started_at == datetime(
            2026, 3, 2, 22, 30, tzinfo=UTC
        )

    @pytest.mark.parametrize(
        "rotten",
        [None, [], {}, {"activityId": {}}, ROW | {"activityType": None}, ROW | {"distance": "x"},
         ROW | {"distance": 0}, ROW | {"distance": float("nan")}, ROW | {"activityId": True},
         ROW | {"startTimeGMT": "soon", "beginTimestamp": None}, ROW | {"distance": 10**400}],
    )  # fmt: skip
    def test_a_rotten_row_is_a_value_with_its_reason(self, rotten: object) -> None:
        """Never an exception; the stored payload is still JSON."""
        row = parse_garmin_activity(rotten)
        assert isinstance(row.parsed, Unreadable)
        assert isinstance(json.loads(row.payload), dict)


class TestKeys:
    def test_a_pasted_key_is_taken_as_it_was_meant(self, garmin: Garmin) -> None:
        """With surrounding blanks and the scheme."""
        pasted = garmin.with_key("  ApiKey abc.def-1\n", ends_at=None)
        assert pasted.secrets == ("abc.def-1",)

    @pytest.mark.parametrize(
        ("said", "until"),
        [("30", "2026-04-01"), ("90 days", "2026-05-31"), ("365d", "2027-03-02"),
         ("2026-09-01", "2026-09-01")],
    )  # fmt: skip
    def test_its_end_is_said_in_days_or_as_a_date(
        self, garmin: Garmin, said: str, until: str
    ) -> None:
        """To the end of that day in the athlete's zone."""
        ends_at = key_end(garmin, said, now=NOW, athlete=MIRA)
        assert f"{ends_at:%Y-%m-%d}" == until
        assert ends_at.hour in {21, 22}

    @pytest.mark.parametrize(
        ("said", "words"),
        [("soon", "isn't when"), ("2026-03-01", "opens nothing"), ("400", "a year at most"),
         ("99999999999999", "isn't when")],
    )  # fmt: skip
    def test_an_end_that_cannot_be_is_one_clear_line(
        self, garmin: Garmin, said: str, words: str
    ) -> None:
        """It says which values are possible."""
        with pytest.raises(ValueError, match=words):
            key_end(garmin, said, now=NOW, athlete=MIRA)


class TestSpacing:
    def test_each_call_has_a_second_of_its_own(self) -> None:
        """Concurrent calls get the following seconds."""
        moments, spacing = [], Spacing()
        for _ in range(4):
            at, spacing = spacing.reserve("new", NOW)
            moments.append(at)
        assert moments == [NOW + n * SECOND for n in range(4)]
        assert spacing.opens_at("new", NOW) - NOW <= spacing.patience
        for _ in range(2):
            _, spacing = spacing.reserve("new", NOW)
        assert spacing.opens_at("new", NOW) - NOW > spacing.patience

    def test_a_clock_that_was_set_back_does_not_stop_everything(self) -> None:
        """A time far ahead was set by a wrong clock."""
        assert Spacing(free_at=NOW + 2 * DAY).opens_at("new", NOW) == NOW

    def test_pauses_double_and_end_with_a_call_that_works(self) -> None:
        """From the requested pause up to four hours."""
        spacing, pauses = Spacing(), []
        for _ in range(10):
            spacing = spacing.closed({}, now=NOW, until=NOW + MINUTE)
            assert spacing.closed_until is not None
            pauses.append(spacing.closed_until - NOW)
        assert pauses[:3] == [MINUTE, 2 * MINUTE, 4 * MINUTE]
        assert pauses[-1] == LONGEST_PAUSE
        worked = spacing.observe({}, NOW)
        again = worked.closed({}, now=NOW, until=NOW + MINUTE)
        assert again.closed_until == NOW + MINUTE

    def test_is_stored_as_it_was(self) -> None:
        """As JSON, to the second."""
        spacing = Spacing(NOW, NOW + DAY, 3)
        assert Spacing.stored(json.loads(json.dumps(spacing.state())), NOW) == spacing
