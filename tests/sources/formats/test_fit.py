"""FIT: valid files of every kind give their runs, broken ones what can be recovered."""

import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.activity_files import Leg, definition, fit_activity, fit_file, fit_run, fit_seconds
from worker.sources import NotARun, Unreadable
from worker.sources.formats import Activity
from worker.sources.formats.fit import MAX_MESSAGES, parse_fit

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
ENUM, UINT8, UINT16, UINT32, TEXT = 0x00, 0x02, 0x84, 0x86, 0x07


def only(content: bytes) -> Activity:
    """The only run of a file."""
    parsed = parse_fit(content)
    assert isinstance(parsed, tuple), parsed
    assert len(parsed) == 1, parsed
    return parsed[0]


def reason(content: bytes) -> str:
    """Why a file gives no run."""
    parsed = parse_fit(content)
    assert isinstance(parsed, NotARun | Unreadable), parsed
    return parsed.reason


def session_by_hand(
    *, extra: bytes = b"", extra_fields: tuple[tuple[int, int, int], ...] = (), big: bool = False
) -> bytes:
    """A session definition and message, with further fields at its end."""
    fields = ((2, 4, UINT32), (5, 1, ENUM), (9, 4, UINT32), (8, 4, UINT32), *extra_fields)
    order = ">" if big else "<"
    values = struct.pack(order + "IBII", fit_seconds(START), 1, 500_000, 1_500_000)
    return definition(18, fields, big=big) + b"\x00" + values + extra


def test_reads_a_run_as_the_watch_summed_it_up() -> None:
    """Start, distance, timer time and elapsed time come from the session."""
    run = only(fit_run(START, distance_m=10_250, moving_s=3000, elapsed_s=3100, offset_h=1))
    assert run == Activity(
        started_at=START,
        offset=timedelta(hours=1),
        distance_m=10_250.0,
        moving_s=3000.0,
        elapsed_s=3100.0,
        sport="run",
    )


@pytest.mark.parametrize(
    ("sub_sport", "expected"),
    [("generic", "run"), ("street", "run"), ("trail", "trail"), ("track", "track"),
     ("treadmill", "treadmill"), ("indoor_running", "treadmill"), ("virtual_activity", "virtual"),
     (67, "run"), (None, "run")],
)  # fmt: skip
def test_refines_a_run_by_its_sub_sport(sub_sport: Any, expected: str) -> None:
    """A sub-sport only refines a run; an ultra run or an unknown sub-sport is a plain run."""
    assert only(fit_run(START, sub_sport=sub_sport)).sport == expected


@pytest.mark.parametrize(
    ("sport", "expected"),
    [("cycling", "a ride (cycling), not a run"), ("walking", "a walk (walking), not a run"),
     ("hiking", "a hike (hiking), not a run"), ("swimming", "a swim (swimming), not a run"),
     ("training", "a workout (training), not a run"), (84, "another sport (jump rope), not a run"),
     ("rowing", "another sport (rowing), not a run")],
)  # fmt: skip
def test_says_what_another_sport_is(sport: Any, expected: str) -> None:
    """Files of other sports are valid but aren't runs; the reason names the sport."""
    parsed = parse_fit(fit_run(START, sport=sport))
    assert parsed == NotARun(expected)


@pytest.mark.parametrize(
    ("file_type", "expected"),
    [("workout", "a workout plan, not a recorded run"), ("course", "a course, not a recorded run"),
     ("settings", "a device's settings, not a recorded run"),
     ("monitoring_b", "a day's monitoring, not a recorded run")],
)  # fmt: skip
def test_says_what_a_file_that_records_nothing_is(file_type: str, expected: str) -> None:
    """Plans, courses, settings and monitoring aren't runs, whatever they contain."""
    assert parse_fit(fit_activity([Leg(START)], file_type=file_type)) == NotARun(expected)


def test_takes_the_running_legs_of_a_multisport_file() -> None:
    """Each running leg is a separate run, counted from 0; nothing is summed."""
    later = START + timedelta(hours=1)
    last = START + timedelta(hours=2)
    parsed = parse_fit(
        fit_activity(
            [Leg(START, 5000), Leg(later, 20_000, sport="cycling"), Leg(last, 2500, 800)],
            offset_h=2,
        )
    )
    assert isinstance(parsed, tuple)
    assert [(run.leg, run.started_at, run.distance_m) for run in parsed] == [
        (0, START, 5000),
        (1, last, 2500),
    ]
    assert {run.offset for run in parsed} == {timedelta(hours=2)}


def test_names_the_sports_of_a_multisport_file_without_a_run() -> None:
    """A file of a swim and a ride says both."""
    legs = [Leg(START, sport="swimming"), Leg(START + timedelta(hours=1), sport="cycling")]
    assert reason(fit_activity(legs)) == ("a multisport activity without a run (swimming, cycling)")


@pytest.mark.parametrize("hours", [-12, -3.5, 1, 5.75, 14])
def test_takes_a_credible_offset(hours: float) -> None:
    """Every offset in use on earth is accepted."""
    assert only(fit_run(START, offset_h=hours)).offset == timedelta(hours=hours)


@pytest.mark.parametrize("hours", [None, -646.61, 14.25, -12.25, 2.1])
def test_ignores_an_absurd_offset(hours: float | None) -> None:
    """Without an offset, or with an impossible one, the athlete's zone decides."""
    assert only(fit_run(START, offset_h=hours)).offset is None


def test_takes_the_other_time_where_one_is_missing() -> None:
    """Timer time and elapsed time replace each other."""
    assert only(fit_activity([Leg(START, elapsed_s=3000, moving_s=None)])).moving_s == 3000
    assert only(fit_activity([Leg(START, moving_s=2500)])).elapsed_s == 2500


def test_finds_a_missing_distance_in_the_records() -> None:
    """A session without a distance has that of its last record, with a note."""
    run = only(fit_activity([Leg(START, distance_m=None, recorded_m=7000)]))
    assert run.distance_m == pytest.approx(7000, abs=1)
    assert run.note == "recovered: the distance comes from its records"


def test_finds_a_missing_start_in_the_records() -> None:
    """A session without a start began at its first record."""
    run = only(fit_activity([Leg(None)]))
    assert run.started_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.note == "recovered: the start comes from its records"


def test_a_run_without_distance_is_unreadable() -> None:
    """A run of zero metres is told apart from files that aren't runs."""
    assert parse_fit(fit_run(START, distance_m=None, moving_s=3, records=1)) == Unreadable(
        "a run without distance: the file tells none in 3 s"
    )


def test_a_run_typed_in_by_hand_is_not_a_device_s() -> None:
    """A session without any record was never measured."""
    assert not only(fit_run(START, records=0)).device
    assert only(fit_run(START)).device


def test_recovers_a_file_without_summary_from_its_records() -> None:
    """Distance, start and duration come from the records; the pace shows that it's a run."""
    run = only(fit_activity([Leg(START, 9000, 2700)], session=False, records=540))
    assert run.distance_m == pytest.approx(9000, abs=1)
    assert run.started_at == START
    assert run.moving_s == pytest.approx(2700, abs=6)
    assert run.note == (
        "recovered: it has no summary; the file names no sport: taken for a run by its pace; "
        "the distance comes from its records; the start comes from its records"
    )


def test_a_ride_without_summary_is_too_fast_for_a_run() -> None:
    """Without a sport, ten metres a second aren't a run."""
    ride = fit_activity([Leg(START, 27_000, 2700)], session=False, records=540)
    assert parse_fit(ride) == NotARun("no sport named, and too fast for a run")


def test_recovers_a_file_cut_off_before_its_summary() -> None:
    """A torn copy gives what it has, with a note."""
    whole = fit_run(START, distance_m=9000, moving_s=2700, records=540)
    run = only(whole[: len(whole) // 2])
    assert run.distance_m < 5000
    assert run.note is not None
    assert run.note.startswith("recovered: the file is cut off")


def test_recovers_a_file_with_a_wrong_checksum() -> None:
    """One flipped bit in a record's heart rate only adds a note."""
    content = bytearray(fit_run(START))
    content[len(content) // 2] ^= 1
    assert only(bytes(content)).note == "recovered: the file's checksum doesn't match"


def test_reads_a_file_whose_size_was_never_written() -> None:
    """A watch that died while recording leaves a size of 0; the data after it is still there."""
    content = bytearray(fit_run(START, distance_m=6000))
    content[4:8] = bytes(4)
    run = only(bytes(content))
    assert run.distance_m == 6000
    assert run.note == "recovered: the recording was never closed"


def test_a_header_checksum_of_zero_is_sound() -> None:
    """The header's own checksum may be left out."""
    content = bytearray(fit_file(session_by_hand()))
    assert content[12:14] == b"\0\0"
    assert only(bytes(content)).note is None


def test_reads_every_file_of_a_chain() -> None:
    """Files chained into one give all their runs."""
    second = START + timedelta(days=1)
    parsed = parse_fit(fit_run(START, distance_m=5000) + fit_run(second, distance_m=6000))
    assert isinstance(parsed, tuple)
    assert [(run.leg, run.distance_m) for run in parsed] == [(0, 5000), (1, 6000)]


def test_the_same_run_twice_in_a_chain_is_one() -> None:
    """A chain that repeats itself gives each run once."""
    assert only(fit_run(START) * 2).leg == 0


def test_a_chain_of_a_run_and_settings_is_that_run() -> None:
    """Other file types don't hide the run beside them."""
    settings_file = fit_activity([Leg(START)], file_type="settings", session=False, records=0)
    assert only(fit_run(START) + settings_file).started_at == START


def test_skips_a_field_whose_size_does_not_suit_its_type() -> None:
    """Some watches write a uint32 as one byte, which the decoder refuses: the rest is read."""
    content = fit_file(session_by_hand(extra=b"\x07", extra_fields=((110, 1, UINT32),)))
    assert only(content).distance_m == 5000


def test_skips_developer_fields() -> None:
    """Unknown fields are skipped, with or without a description."""
    body = definition(18, ((2, 4, UINT32), (5, 1, ENUM), (9, 4, UINT32), (8, 4, UINT32)),
                      developer=((0, 4, 0), (1, 2, 0)))  # fmt: skip
    values = struct.pack("<IBII", fit_seconds(START), 1, 500_000, 1_500_000)
    assert only(fit_file(body + b"\x00" + values + b"\x01\x02\x03\x04\x05\x06")).distance_m == 5000


def test_one_files_developer_fields_are_not_kept_for_the_next() -> None:
    """The decoder has one global place for developer fields: nothing is ever stored there."""
    from fitparse import records

    told = definition(207, ((3, 1, UINT8),)) + b"\x00\x00"
    told += definition(206, ((0, 1, UINT8), (1, 1, UINT8), (2, 1, UINT8))) + b"\x00\x00\x00\x02"
    body = definition(18, ((2, 4, UINT32), (5, 1, ENUM), (9, 4, UINT32), (8, 4, UINT32)),
                      developer=((0, 1, 0),))  # fmt: skip
    values = struct.pack("<IBII", fit_seconds(START), 1, 500_000, 1_500_000)
    assert only(fit_file(told + body + b"\x00" + values + b"\x01")).distance_m == 5000
    assert records.DEV_TYPES == {}


def test_reads_either_byte_order() -> None:
    """Definitions give the byte order of their messages."""
    assert only(fit_file(session_by_hand(big=True))).started_at == START


def test_reads_compressed_timestamps() -> None:
    """The five bits of time in a record's header add up, also past their range."""
    clock = fit_seconds(START)
    body = definition(20, ((253, 4, UINT32), (5, 4, UINT32)), local=0)
    body += definition(20, ((5, 4, UINT32),), local=1)
    body += b"\x00" + struct.pack("<II", clock, 0)
    for second in range(10, 610, 10):
        header = 0x80 | 1 << 5 | (clock + second) & 0x1F
        body += bytes([header]) + struct.pack("<I", second * 300)
    run = only(fit_file(body))
    assert run.elapsed_s == 600
    assert run.distance_m == 1800


def test_goes_on_at_the_session_after_damage() -> None:
    """Unreadable records in the middle don't affect the summary at the end."""
    body = b"\x05" + bytes(40) + session_by_hand()
    run = only(fit_file(body))
    assert run.distance_m == 5000
    assert run.note == "recovered: the file is damaged"


def test_takes_the_local_clock_of_a_watch_that_knows_no_other() -> None:
    """Old watches count seconds from power-up; only the local time beside them is a date."""
    fields = ((2, 4, UINT32), (5, 1, ENUM), (9, 4, UINT32), (8, 4, UINT32))
    session = struct.pack("<IBII", 1000, 1, 500_000, 1_500_000)
    activity = struct.pack("<II", 2500, fit_seconds(START + timedelta(seconds=1500)))
    body = definition(18, fields) + b"\x00" + session
    body += definition(34, ((253, 4, UINT32), (5, 4, UINT32))) + b"\x00" + activity
    run = only(fit_file(body))
    assert (run.started_at, run.offset) == (START, timedelta(0))
    assert run.note == "recovered: the watch knew only its local time"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "an empty file"),
        (b"hello", "not a FIT file"),
        (bytes(100), "not a FIT file"),
        (b"\x0e\x10\x54\x08" + bytes(4) + b".FIT",
         "nothing in it: the recording was never closed"),
        (fit_file(b""), "nothing in it: the recording was never closed"),
        (fit_file(definition(0, ((0, 1, ENUM),)) + b"\x00\x04"),
         "a FIT file without an activity in it"),
    ],
)  # fmt: skip
def test_says_why_nothing_can_be_read(content: bytes, expected: str) -> None:
    """Each refusal is one clear line."""
    assert reason(content) == expected


def test_reads_no_more_sessions_than_a_file_can_mean() -> None:
    """Millions of crafted sessions are cut to a number that is read quickly."""
    body = session_by_hand()[:-14]
    for metres in range(1, 20_001):
        values = struct.pack("<IBII", fit_seconds(START), 1, metres * 100, 1_500_000)
        body += b"\x00" + values
    parsed = parse_fit(fit_file(body))
    assert isinstance(parsed, tuple)
    assert len(parsed) == MAX_MESSAGES


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_never_raises_whatever_the_bytes(data: st.DataObject) -> None:
    """A valid file with a few changed bytes and its end cut off gives runs or a reason."""
    content = bytearray(fit_run(START, offset_h=1, records=5))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    torn = bytes(content[: data.draw(st.integers(0, len(content)))])
    parsed = parse_fit(torn)
    assert isinstance(parsed, tuple | NotARun | Unreadable)
    if isinstance(parsed, tuple):
        assert all(run.distance_m > 0 and run.started_at.tzinfo for run in parsed)


@settings(max_examples=60, deadline=None)
@given(
    distance_m=st.integers(1, 30_000_000).map(lambda centimetres: centimetres / 100),
    moving_ms=st.integers(1, 400_000_000),
    started_at=st.datetimes(datetime(2009, 1, 1), datetime(2037, 1, 1)),  # noqa: DTZ001  # UTC
)
def test_gives_back_what_was_written(
    distance_m: float, moving_ms: int, started_at: datetime
) -> None:
    """Any run comes back with the values it was written with."""
    start = started_at.replace(microsecond=0, tzinfo=UTC)
    run = only(fit_run(start, distance_m=distance_m, moving_s=moving_ms / 1000, records=2))
    assert run.started_at == start
    assert run.distance_m == pytest.approx(distance_m, abs=0.006)
    assert run.moving_s == pytest.approx(moving_ms / 1000, abs=0.001)


def test_importing_the_reader_does_not_import_the_decoder() -> None:
    """Start-up stays light: the decoder's profile is loaded with the first file."""
    code = "import sys, worker.sources.formats.fit; print('fitparse' in sys.modules)"
    told = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"


@pytest.mark.parametrize("sport", [None, "generic"])
def test_a_session_of_no_sport_is_judged_by_sub_sport_name_and_pace(sport: str | None) -> None:
    """Like an untyped track; a slow session without name or sub-sport isn't a run."""
    slow = {"distance_m": 1000.0, "moving_s": 3600.0, "sport": sport}
    assert isinstance(parse_fit(fit_run(START, **slow)), NotARun)
    (by_pace,) = runs(parse_fit(fit_run(START, sport=sport)))
    assert "pace" in (by_pace.note or "")
    (treadmill,) = runs(parse_fit(fit_run(START, **slow, sub_sport="treadmill")))
    assert treadmill.sport == "treadmill"


@pytest.mark.parametrize(("moving_s", "elapsed_s"), [(4_294_967.0, 3600.0), (21_600.0, 3600.0)])
def test_nobody_moves_longer_than_it_lasted(moving_s: float, elapsed_s: float) -> None:
    """An overflow, or the two swapped: the smaller one is the moving time."""
    content = fit_run(START, distance_m=9000, moving_s=moving_s, elapsed_s=elapsed_s)
    (run,) = runs(parse_fit(content))
    assert run.moving_s == 3600


def test_a_clock_without_a_lead_leaves_the_day_to_the_athletes_zone() -> None:
    """A watch without a zone writes UTC as its local time."""
    (run,) = runs(parse_fit(fit_run(START, offset_h=0.0)))
    assert run.offset is None


def two_parts(first: datetime, second: datetime, *, early: int) -> bytes:
    """A run whose clock is set after `early` of its 541 records, which are five seconds apart."""
    body = definition(20, ((253, 4, UINT32), (5, 4, UINT32)))
    for number in range(541):
        at = (first if number < early else second) + timedelta(seconds=5 * number)
        body += b"\x00" + struct.pack("<II", fit_seconds(at), number * 1500)
    fields = ((2, 4, UINT32), (5, 1, ENUM), (9, 4, UINT32), (8, 4, UINT32), (7, 4, UINT32))
    lasted_s = round((second - first).total_seconds()) + 2700
    body += definition(18, fields) + b"\x00"
    body += struct.pack(
        "<IBIII", fit_seconds(first), 1, 810_000, 2_700_000, lasted_s * 1000 % 2**32
    )
    return fit_file(body)


@pytest.mark.parametrize("early", [1, 4, 5, 30, 200])
@pytest.mark.parametrize("days", [-48, -3, 400])
def test_a_clock_that_is_set_on_the_way_files_the_run_by_the_later_one(
    early: int, days: int
) -> None:
    """The date comes from GPS; the records before the fix were just before it."""
    run = only(two_parts(START + timedelta(days=days), START, early=early))
    assert abs(run.started_at - START) <= timedelta(seconds=5)
    assert run.distance_m == 8100


def test_a_summary_of_another_time_gives_way_to_the_records() -> None:
    """A session whose start is its end."""
    ended = START + timedelta(seconds=2700)
    run = only(fit_activity([Leg(START, extra={"start_time": ended})], records=540))
    assert run.started_at == START
    assert run.note == "recovered: the start comes from its records"


@pytest.mark.parametrize("told_m", [None, 6500.0, 12_718.0])
def test_a_summary_that_ends_before_its_records_is_not_all(told_m: float | None) -> None:
    """Records that go on for longer, and further, are used."""
    early = {"total_elapsed_time": 2000.0, "total_timer_time": 2000.0, "total_distance": told_m}
    extra = {name: value for name, value in early.items() if value}
    leg = Leg(START, None, 4700.0, 4700.0, recorded_m=15_220.0, extra=extra)
    run = only(fit_activity([leg], records=471))
    assert run.distance_m == pytest.approx(15_220, abs=1)
    assert (run.started_at, run.moving_s) == (START, 4700)


def test_two_figures_outvote_the_summary() -> None:
    """Here the records' own distance and the distance between their positions."""
    run = only(fit_activity([Leg(START, 4000.0, recorded_m=8000.0)], records=540))
    assert run.distance_m == pytest.approx(8000, abs=1)
    assert run.note == "recovered: the distance comes from its records"


def lap(start_s: int, metres: int, seconds: int) -> bytes:
    """A lap message: its end, start, metres, timer time and sport."""
    start = fit_seconds(START) + start_s
    return b"\x00" + struct.pack("<IIIIB", start + seconds, start, metres * 100, seconds * 1000, 1)


LAP = definition(19, ((253, 4, UINT32), (2, 4, UINT32), (9, 4, UINT32), (8, 4, UINT32),
                      (25, 1, ENUM)))  # fmt: skip


@pytest.mark.parametrize(
    "laps",
    [
        lap(0, 5000, 1800) + lap(1800, 5000, 1800),
        lap(0, 5000, 1800) + lap(0, 10_000, 3600),
        lap(0, 10_000, 3600) + lap(0, 5000, 1800) + lap(1800, 5000, 1800),
        lap(0, 5000, 1800) + lap(1800, 5000, 1800) + lap(3600, 0, 0),
    ],
    ids=["one after another", "counting up", "under one", "empty at the end"],
)
def test_a_file_of_laps_alone_is_their_run(laps: bytes) -> None:
    """Without sessions and records only the laps are left, in each way of writing them."""
    run = only(fit_file(LAP + laps))
    assert (run.started_at, run.distance_m, run.moving_s) == (START, 10_000, 3600)
    assert "the distance comes from its laps" in (run.note or "")


def test_a_session_without_distance_has_its_laps() -> None:
    """If the records have neither distances nor positions."""
    fields = ((2, 4, UINT32), (5, 1, ENUM), (8, 4, UINT32))
    session = (
        definition(18, fields) + b"\x00" + struct.pack("<IBI", fit_seconds(START), 1, 3_600_000)
    )
    run = only(fit_file(LAP + lap(0, 4000, 1500) + lap(1500, 6000, 2100) + session))
    assert run.distance_m == 10_000


@pytest.mark.parametrize("lost", [1, 7, 16, 40])
def test_goes_on_with_the_records_after_some_bytes_were_lost(lost: int) -> None:
    """A few lost bytes cost a few records, not all that follow, if there's no summary."""
    content = fit_activity([Leg(START, 9000, 2700)], session=False, records=540)
    torn = content[:6000] + content[6000 + lost :]
    run = only(torn)
    assert run.distance_m == pytest.approx(9000, rel=0.01)
    assert run.elapsed_s == pytest.approx(2700, abs=30)
    assert "damaged" in (run.note or "") or "cut off" in (run.note or "")


def test_records_a_minute_apart_are_one_run_uphill_too() -> None:
    """A watch in battery-saving mode, half of the way at 0.7 m/s."""
    body, metres = definition(20, ((253, 4, UINT32), (5, 4, UINT32))), 0.0
    for minute in range(121):
        at = fit_seconds(START) + 60 * minute
        body += b"\x00" + struct.pack("<II", at, round(metres * 100))
        metres += 60 * (0.7 if minute < 60 else 3.5)
    body += LAP + lap(0, 0, 0)
    run = only(fit_file(body))
    assert run.moving_s == 7200


def runs(answer: object) -> tuple[Activity, ...]:
    """The activities, if there are any."""
    assert isinstance(answer, tuple), answer
    return answer
