"""The client of intervals.icu: sending the key, hidden activities, files."""

from datetime import UTC, datetime, timedelta

import pytest

from simulators.intervals import ACTIVITIES, Account, Service
from worker.domain.models import Recording
from worker.sources import NotARun, Unreadable
from worker.sources.base import Credential, CredentialRevoked, NotFound
from worker.sources.intervals.client import Intervals
from worker.sources.intervals.parse import parse_intervals_activity

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
DAY = timedelta(days=1)
ROW = {
    "id": "i21", "type": "Run", "sub_type": "RACE", "start_date": "2026-03-01T23:30:00Z",
    "start_date_local": "2026-03-02T00:30:00", "distance": 8000.0, "moving_time": 2400,
    "elapsed_time": 2500, "file_type": "fit", "source": "GARMIN_CONNECT", "name": "Night",
}  # fmt: skip


@pytest.fixture
def runner(service: Service) -> Account:
    return service.account("Mira")


@pytest.fixture
def credential(intervals: Intervals, service: Service, runner: Account) -> Credential:
    pasted = intervals.with_key(service.make_key(runner), ends_at=None)
    return intervals.refresh(pasted, now=NOW)


class TestTheKey:
    def test_says_whose_account_it_opens(self, credential: Credential, runner: Account) -> None:
        """So that one account isn't connected twice."""
        assert credential.account_id == runner.id
        assert credential.ends_at is None

    def test_is_sent_as_the_password_of_a_user_that_everybody_has(
        self, service: Service, credential: Credential
    ) -> None:
        """A bearer token would be refused."""
        assert {q.headers["authorization"].partition(" ")[0] for q in service.log} == {"Basic"}
        assert credential.secrets[0] not in str(service.log[-1])

    def test_that_was_replaced_is_a_dead_credential(
        self, intervals: Intervals, service: Service, runner: Account, credential: Credential
    ) -> None:
        """Which only the athlete can renew."""
        service.make_key(runner)
        with pytest.raises(CredentialRevoked, match="make a new one at"):
            intervals.refresh(credential, now=NOW)


class TestTheList:
    def test_what_came_from_strava_is_hidden_and_said(
        self, intervals: Intervals, service: Service, runner: Account, credential: Credential
    ) -> None:
        """A stub is neither a run nor an error; without stubs nothing is reported."""
        service.add(runner, NOW - DAY)
        assert intervals.list_activities(credential, now=NOW).note is None
        service.add(runner, NOW - 2 * DAY, origin="STRAVA")
        page = intervals.list_activities(credential, now=NOW)
        assert page.note is not None
        assert "hidden by Strava's terms" in page.note
        parsed = [row.parsed for row in page.activities]
        assert isinstance(parsed[0], Recording)
        assert isinstance(parsed[1], NotARun)

    def test_is_asked_for_no_further_back_than_runs_are_wanted(
        self, intervals: Intervals, service: Service, runner: Account, credential: Credential
    ) -> None:
        """By dates, as the service requires."""
        service.add(runner, NOW - 500 * DAY)
        assert intervals.list_activities(credential, now=NOW).activities == ()
        assert service.calls(ACTIVITIES) == 1


class TestFiles:
    @pytest.mark.parametrize("packed", [True, False])
    def test_come_as_they_were_uploaded(
        self, intervals: Intervals, service: Service, runner: Account, credential: Credential,
        packed: bool,
    ) -> None:  # fmt: skip
        """Gzipped or plain: the reader opens both."""
        made = service.add(runner, NOW - DAY, packed=packed)
        content = intervals.download(credential, made.id, now=NOW)
        assert content[:2] == (b"\x1f\x8b" if packed else made.original[:2])

    @pytest.mark.parametrize("why", [{"has_file": False}, {"origin": "STRAVA"}, {"deleted": True}])
    def test_that_are_not_there_are_said_to_be_none(
        self, intervals: Intervals, service: Service, runner: Account, credential: Credential,
        why: dict[str, object],
    ) -> None:  # fmt: skip
        """Entered by hand, hidden (422), or deleted since the list was read."""
        made = service.add(runner, NOW - DAY, **why)
        with pytest.raises(NotFound):
            intervals.download(credential, made.id, now=NOW)


class TestRows:
    def test_a_run_is_read(self) -> None:
        """The day is by the runner's clock; a race is marked by its sub-type."""
        row = parse_intervals_activity(ROW)
        run = row.parsed
        assert isinstance(run, Recording)
        assert (run.source, run.external_id, run.day.isoformat()) == (
            "intervals",
            "i21",
            "2026-03-02",
        )
        assert (run.distance_m, run.moving_s, run.elapsed_s) == (8000.0, 2400.0, 2500.0)
        assert run.is_race
        assert row.wants_file

    @pytest.mark.parametrize(
        ("more", "sport"),
        [({}, "run"), ({"type": "TrailRun"}, "trail"), ({"type": "VirtualRun"}, "virtual"),
         ({"trainer": True}, "treadmill"), ({"type": "VirtualRun", "trainer": True}, "virtual")],
    )  # fmt: skip
    def test_every_kind_of_run_is_one(self, more: dict[str, object], sport: str) -> None:
        """By the service's type names."""
        run = parse_intervals_activity(ROW | more).parsed
        assert isinstance(run, Recording)
        assert run.sport == sport

    @pytest.mark.parametrize(
        "more", [{"type": "Ride"}, {"type": "Walk"}, {"deleted": True}, {"source": "STRAVA"}]
    )
    def test_what_is_no_run_says_why(self, more: dict[str, object]) -> None:
        """And its file isn't requested."""
        row = parse_intervals_activity(ROW | more)
        assert isinstance(row.parsed, NotARun)
        assert not row.wants_file

    @pytest.mark.parametrize(
        "rotten",
        [None, [], {}, {"id": {}}, ROW | {"type": None}, ROW | {"distance": "x"},
         ROW | {"distance": 0}, ROW | {"id": "../../x"}, ROW | {"distance": 10**400},
         ROW | {"start_date": "soon", "start_date_local": None}],
    )  # fmt: skip
    def test_a_rotten_row_is_a_value_with_its_reason(self, rotten: object) -> None:
        """Never an exception; an invalid id never becomes part of a path."""
        assert isinstance(parse_intervals_activity(rotten).parsed, Unreadable)
