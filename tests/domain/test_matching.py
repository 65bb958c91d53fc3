"""Which recordings are the same run, and which one's figures are used."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import time, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app import TODAY, recording
from worker.domain.matching import believed_run, corrects, group, plain_file_name, same_run
from worker.domain.models import Recording, Run
from worker.sources.sections import PRECEDENCE

WATCH = recording(km=10.0)
STRAVA = recording(km=10.1, at=time(6, 0, 20), source="strava", external_id="1")
ARCHIVE = recording(km=10.05, at=time(6, 0, 5), source="import", external_id="a")


def grouped(recordings: Iterable[Recording]) -> tuple[tuple[Recording, ...], ...]:
    return group(recordings, precedence=PRECEDENCE)


def believed(recordings: Sequence[Recording]) -> Run:
    (bundle,) = grouped(recordings)
    return believed_run(bundle)


@pytest.mark.parametrize(
    ("other", "is_one"),
    [
        pytest.param(recording(km=10.4, source="strava"), True, id="4 % further"),
        pytest.param(recording(km=14.0, source="strava"), True, id="40 % further"),
        pytest.param(recording(km=10.0, at=time(6, 10), source="strava"), True, id="10 min later"),
        pytest.param(recording(km=10.0, at=time(6, 20), source="strava"), True, id="other clock"),
        pytest.param(recording(km=12.0, at=time(6, 20), source="strava"), False, id="20 min later"),
        pytest.param(recording(km=10.0, at=time(18), source="strava"), False, id="that evening"),
    ],
)
def test_one_run_is_what_happens_at_one_time(other: Recording, is_one: bool) -> None:
    """Recordings that share 80 % of the time are one run at any distance; so are similar ones."""
    assert same_run(WATCH, other) is is_one
    assert same_run(other, WATCH) is is_one


def test_the_same_bytes_are_the_same_run_but_legs_are_not() -> None:
    """The legs of a multisport file share a digest and remain separate runs unless they overlap."""
    first = replace(WATCH, sha256="ab", source="inbox")
    again = replace(WATCH, sha256="ab", source="import", distance_m=1.0)
    leg = recording(km=10.0, at=time(8), sha256="ab", leg=1, external_id="ab:1")
    assert same_run(first, again)
    assert not same_run(first, leg)
    assert same_run(first, replace(leg, started_at=WATCH.started_at, distance_m=6_000.0))


def test_a_hidden_start_is_matched_by_day_and_duration() -> None:
    """Strava reports a hidden start as midnight, which says nothing about the hour."""
    hidden = replace(STRAVA, started_at=STRAVA.started_at.replace(hour=0), hidden_start=True)
    assert same_run(WATCH, hidden)
    assert not same_run(WATCH, replace(hidden, day=TODAY - timedelta(days=1)))
    assert not same_run(WATCH, replace(hidden, elapsed_s=5000.0))


def test_two_runs_of_a_day_without_hours_are_two_unless_their_durations_agree() -> None:
    """Dates without hours: nothing shows that 5 km and 5.1 km on one day are the same run."""
    dated = replace(ARCHIVE, hidden_start=True, moving_s=None, elapsed_s=None)
    assert not same_run(dated, replace(dated, external_id="b", distance_m=10_100.0))
    assert same_run(dated, dated)


def test_a_corrected_distance_still_belongs_to_its_run() -> None:
    """The athlete wrote 12 km after the watch lost its way: one run of 12 km."""
    corrected = replace(STRAVA, distance_m=12_000.0, edited=True)
    assert same_run(WATCH, corrected)
    assert believed([WATCH, corrected]).distance_m == 12_000


def test_a_recording_that_stood_still_leaves_room_for_another_run() -> None:
    """A watch that was never stopped, from the run to work until the run home."""
    all_day = replace(WATCH, elapsed_s=40_000.0)
    home = recording(km=6.0, at=time(16), source="strava")
    assert not same_run(all_day, home)
    assert same_run(all_day, replace(home, distance_m=10_000.0))
    assert same_run(all_day, replace(home, edited=True))
    assert same_run(replace(all_day, moving_s=39_000.0), home)


def test_a_run_in_pieces_is_as_long_as_all_of_them() -> None:
    """The watch has warm-up, run and cool-down, the phone all in one: the files are added up."""
    pieces = [recording(km=2, at=time(6)), recording(km=8, at=time(6, 13)),
              recording(km=3, at=time(7, 5))]  # fmt: skip
    phone = recording(km=14, at=time(6), source="strava", external_id="1")
    found = believed([phone, *pieces])
    assert (found.distance_m, found.started_at) == (13_000, pieces[0].started_at)
    assert believed([replace(phone, edited=True), *pieces]).distance_m == 14_000


def test_copies_of_one_source_are_no_pieces() -> None:
    """The same file an hour off, and one that began a little later: neither is added."""
    file = replace(WATCH, sha256="ab")
    copies = [
        replace(file, sha256=name, external_id=name, started_at=WATCH.started_at + later)
        for name, later in (("b", timedelta(hours=1)), ("c", timedelta(minutes=5)))
    ]
    assert believed([file, *copies]).distance_m == 10_000


def test_a_file_that_strava_names_is_the_same_run_whatever_its_distance() -> None:
    """Corrected before the first sync: the uploaded file's name matches when the time doesn't."""
    watch = replace(WATCH, file_name="morning-14", elapsed_s=40_000.0)
    told = replace(STRAVA, distance_m=12_000.0, file_name="morning-14")
    assert same_run(watch, told)
    assert not same_run(watch, replace(told, file_name="morning-15"))
    assert not same_run(watch, replace(told, started_at=told.started_at + timedelta(hours=13)))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("inbox/Mira/Morning-14.FIT", "morning-14"),
        ("C:\\runs\\a.fit.gz", "a"),
        ("export.zip/activities/9.tcx.gz", "9"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_a_files_name_is_told_without_folders_and_endings(name: str, plain: str) -> None:
    """The same file on its ways through folders, archives and Strava."""
    assert plain_file_name(name) == plain


def test_two_short_runs_of_one_morning_stay_two() -> None:
    """A warm-up and the run after it are two, in any order."""
    warm_up = recording(km=3.0, at=time(6))
    run = recording(km=3.0, at=time(6, 25))
    assert sorted(map(len, group([run, warm_up]))) == [1, 1]


def test_the_order_of_sources_never_matters() -> None:
    """Watch, Strava and an archive in any order: one run with the same values."""
    bundles = {grouped(order) for order in permutations([WATCH, STRAVA, ARCHIVE])}
    assert bundles == {((WATCH, ARCHIVE, STRAVA),)}


def test_a_file_of_the_watch_is_believed_before_strava_and_an_edit_before_both() -> None:
    """Strava corrects distances in its own way; what the athlete entered takes precedence."""
    assert believed([STRAVA, WATCH]).distance_m == 10_000
    assert believed([replace(STRAVA, edited=True), WATCH]).distance_m == 10_100


def test_gaps_are_filled_from_the_other_recordings() -> None:
    """A file without times takes Strava's; one source that marks a race is enough."""
    bare = replace(WATCH, moving_s=None, elapsed_s=None)
    found = believed([bare, replace(STRAVA, is_race=True)])
    assert (found.distance_m, found.moving_s, found.is_race) == (10_000, STRAVA.moving_s, True)


def dated(km: float, name: str, *, source: str = "import") -> Recording:
    """A row of a table with a date only."""
    bare = replace(ARCHIVE, source=source, external_id=name, distance_m=1000 * km)
    return replace(bare, hidden_start=True, moving_s=None, elapsed_s=None)


MORNING, EVENING = recording(km=10.0), recording(km=10.2, at=time(17))


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        pytest.param([dated(10.01, "a")], 2, id="one of two"),
        pytest.param([dated(10.2, "a"), dated(10.0, "b")], 2, id="both"),
        pytest.param([dated(20.2, "a")], 2, id="the day's sum"),
        pytest.param([dated(10.0, "a"), dated(10.1, "b"), dated(10.2, "c")], 3, id="one too many"),
        pytest.param([dated(5.0, "a")], 3, id="another"),
        pytest.param([dated(5.0, "a"), dated(5.0, "b", source="manual")], 3, id="told twice"),
    ],
)
def test_a_day_and_a_distance_belong_to_one_run_of_that_day(
    rows: list[Recording], runs: int
) -> None:
    """In any order: two runs of a day don't become one because a row resembles both."""
    told = [MORNING, EVENING, *rows]
    bundles = {frozenset(map(frozenset, group(order))) for order in permutations(told)}
    assert [len(found) for found in bundles] == [runs]


def test_one_long_recording_and_the_runs_in_it_are_one() -> None:
    """A watch that was resumed in the evening, and both runs as separate files."""
    whole = replace(recording(km=20.2), moving_s=7200.0, elapsed_s=44_000.0, external_id="whole")
    told = [whole, MORNING, EVENING]
    assert {len(group(order)) for order in permutations(told)} == {1}
    (bundle,) = group(told)
    assert believed_run(bundle).distance_m in (20_200, MORNING.distance_m + EVENING.distance_m)
    assert len(group([whole, MORNING])) == 2


FILE = replace(WATCH, sha256="ab", external_id="ab", source="import")
ROW = replace(FILE, external_id="7", device=False, account=True)


@pytest.mark.parametrize(
    ("changes", "is_corrected"),
    [
        ({"distance_m": 10_060.0}, False),
        ({"distance_m": 8_200.0}, True),
        ({"distance_m": 12_000.0}, True),
        ({"distance_m": 4_000.0, "elapsed_s": 1400.0}, True),
        ({"elapsed_s": 1800.0}, True),
        ({"distance_m": 12_000.0, "elapsed_s": 9000.0}, False),
        ({"distance_m": 10_000.0 / 1.609344}, False),
        ({"distance_m": 10_000.0 * 1.609344}, False),
        ({"distance_m": 0.0}, False),
    ],
)
def test_an_accounts_row_corrects_its_file_where_its_owner_did(
    changes: dict[str, float], is_corrected: bool
) -> None:
    """Not for rounding, not for a wrong unit, and not to more than the run."""
    row = replace(ROW, **changes)  # type: ignore[arg-type]  # what the case names
    assert corrects(row, FILE) is is_corrected
    assert (grouped([FILE, row])[0][0] == row) is is_corrected


def test_an_accounts_row_corrects_no_other_watchs_file() -> None:
    """The treadmill has 9.3 km and the watch 8.1: each row agrees with its own file."""
    other = replace(FILE, sha256="cd", external_id="cd", distance_m=9_300.0)
    rows = [ROW, replace(ROW, sha256="cd", external_id="8", distance_m=9_300.0)]
    assert believed([FILE, other, *rows]).distance_m == 10_000


def test_a_word_of_the_account_is_on_that_activity_alone() -> None:
    """An afternoon's walk, or one that lasted all day, isn't this run."""
    word = replace(ROW, sha256=None, about=ROW.key, excluded=True)
    assert same_run(word, FILE)
    assert not same_run(FILE, replace(word, started_at=word.started_at + timedelta(minutes=2)))
    assert not same_run(FILE, replace(word, elapsed_s=30_000.0))
    assert not same_run(FILE, replace(word, sha256="cd"))


recordings = st.builds(
    lambda day, minute, km, source, number: recording(
        TODAY + timedelta(days=day),
        km / 4,
        at=time(minute // 60, minute % 60),
        source=source,
        external_id=str(number),
    ),
    st.integers(0, 2),
    st.integers(0, 3).map(lambda step: 360 + 7 * step),
    st.integers(16, 22),
    st.sampled_from(["inbox", "import", "strava", "garmin"]),
    st.integers(0, 10**9),
)


@given(st.data(), st.lists(recordings, max_size=8, unique_by=lambda r: (r.source, r.external_id)))
def test_bundles_do_not_depend_on_the_order_of_arrival(
    data: st.DataObject, made: list[Recording]
) -> None:
    """In any order of arrival the groups and their leading recordings are the same."""
    shuffled = data.draw(st.permutations(made))
    assert set(group(shuffled)) == set(group(made))
