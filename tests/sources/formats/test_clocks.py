"""Clocks: wrong dates are corrected or noted; a run's day is the local one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.activity_files import fit_run, gpx, straight, tcx
from worker.sources.formats import Activity, Parsed
from worker.sources.formats.clocks import FIRST_FIT, ROLLOVER, day_of_run, put_right
from worker.sources.formats.fit import parse_fit
from worker.sources.formats.gpx import parse_gpx
from worker.sources.formats.tcx import parse_tcx

START = datetime(2026, 5, 4, 5, 30, tzinfo=UTC)
PLACES = {"Europe/Berlin": 13.4, "America/New_York": -74.0, "Asia/Tokyo": 139.7,
          "Pacific/Auckland": 174.8, "America/Los_Angeles": -118.2, "Asia/Kolkata": 77.2,
          "Europe/Madrid": -3.7, "Asia/Shanghai": 121.5, "Pacific/Honolulu": -157.8}  # fmt: skip
"""Zones, and a longitude in each."""
NOWHERE = timedelta(hours=4, minutes=30)
"""A clock at least this far off the sun fits no zone."""

instants = st.datetimes(datetime(2009, 2, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # UTC


def only(parsed: Parsed) -> Activity:
    """The only run of a result."""
    assert isinstance(parsed, tuple), parsed
    (run,) = parsed
    return run


@given(at=instants, home=st.sampled_from(list(PLACES)), there=st.sampled_from(list(PLACES)))
def test_a_clock_that_fits_the_place_tells_the_day(at: datetime, home: str, there: str) -> None:
    """A traveller's run is on the local day of the place, without a note of doubt."""
    local = at.astimezone(ZoneInfo(there))
    told = day_of_run(at, offset=local.utcoffset(), zone=ZoneInfo(home), lon=PLACES[there])
    assert told == (local.date(), None)


@given(at=instants, home=st.sampled_from(list(PLACES)), quarters=st.integers(-48, 56))
def test_a_clock_of_another_zone_at_home_tells_no_other_day(
    at: datetime, home: str, quarters: int
) -> None:
    """A watch whose zone was never set: the run is on the athlete's day, or has a note of doubt."""
    zone, offset = ZoneInfo(home), timedelta(minutes=15 * quarters)
    day, doubt = day_of_run(at, offset=offset, zone=zone, lon=PLACES[home])
    local = at.astimezone(zone)
    ahead = (offset - (local.utcoffset() or timedelta(0))) % timedelta(days=1)
    if min(ahead, timedelta(days=1) - ahead) > 2 * NOWHERE:
        assert day == local.date()
    assert day in {local.date(), (at + offset).date()}
    assert doubt is None or "time zone" in doubt


@given(at=instants, home=st.sampled_from(list(PLACES)), quarters=st.integers(-48, 56))
def test_without_a_place_another_day_is_said_to_be_doubtful(
    at: datetime, home: str, quarters: int
) -> None:
    """Then a wrong clock can't be told from a journey."""
    zone, offset = ZoneInfo(home), timedelta(minutes=15 * quarters)
    day, doubt = day_of_run(at, offset=offset, zone=zone, lon=None)
    assert day == (at + offset).date()
    assert (doubt is None) == (day == at.astimezone(zone).date())


@given(at=st.datetimes(datetime(2009, 1, 1), datetime(2028, 8, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # UTC
def test_a_receiver_that_lost_count_of_its_weeks_is_put_right(at: datetime) -> None:
    """Any day 1,024 weeks early, except the first ones of a clock that lost power."""
    started_at, doubt = put_right(at - ROLLOVER, first=FIRST_FIT, rolls=True)
    assert doubt is None or "clock" in doubt
    is_first_day = (at - ROLLOVER + timedelta(days=1)).month == 1
    if not is_first_day and (at - ROLLOVER) >= datetime(1999, 8, 22, tzinfo=UTC):
        assert started_at == at or (at - ROLLOVER) >= FIRST_FIT


def test_a_fit_file_1024_weeks_early_has_its_day_again() -> None:
    """No device wrote the format in 2006."""
    run = only(parse_fit(fit_run(START - ROLLOVER)))
    assert run.started_at == START
    assert "1,024 weeks early" in (run.note or "")


def test_a_fit_file_of_a_clock_never_set_says_so() -> None:
    """Without another date in the file the day can't be known."""
    run = only(parse_fit(fit_run(datetime(2000, 1, 1, 0, 4, tzinfo=UTC))))
    assert run.started_at.year == 2000
    assert "never set" in (run.note or "")


def test_a_track_1024_weeks_before_its_file_has_its_day_again() -> None:
    """The file says that it was written 1,024 weeks after the track, so the date is corrected."""
    points = straight(START - ROLLOVER, distance_m=3000, seconds=900, every_s=10)
    written = b"<metadata><time>2026-05-05T08:00:00Z</time></metadata><trk>"
    content = gpx([points]).replace(b"<trk>", written)
    assert only(parse_gpx(content)).started_at == START
    old = content.replace(b"2026-05-05", b"2016-05-05")
    assert only(parse_gpx(old)).started_at == START - ROLLOVER


@pytest.mark.parametrize("year", [2000, 2001])
def test_a_track_from_before_there_were_any_is_said_to_be_doubtful(year: int) -> None:
    """By a clock that was never set, or one that was wrong."""
    for month, doubt in ((1, "never set"), (7, "clock was wrong")):
        points = straight(datetime(year, month, 2, tzinfo=UTC), distance_m=3000, seconds=900)
        for run in (only(parse_gpx(gpx([points]))), only(parse_tcx(tcx([points])))):
            assert doubt in (run.note or "")


def test_a_track_of_2006_is_believed() -> None:
    """Runners had GPS receivers by then."""
    points = straight(datetime(2006, 5, 4, tzinfo=UTC), distance_m=3000, seconds=900)
    assert only(parse_gpx(gpx([points]))).note is None
