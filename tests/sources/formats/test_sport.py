# ruff: noqa: RUF001  # letters of many scripts are the matter here
"""Which words mean running, and what decides without such a word."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.activity_files import gpx, straight, tcx
from worker.sources import NotARun
from worker.sources.formats import Activity
from worker.sources.formats.gpx import parse_gpx
from worker.sources.formats.sport import GUESSED, NAMED, named_run, titled_run
from worker.sources.formats.tcx import parse_tcx

START = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)

RUNS = """running|trail running|TrailRun|street_running|INDOOR_RUNNING|treadmill|run_outdoor|Laufen
Laufband|Geländelauf|hardlopen|Hardloopsessie|løb|Løbetur|løping|terrengløp|löpning|Löprunda|juoksu
maastojuoksu|Lenkkeily|jooksmine|skriešana|bėgimas|biegi|bieganie na bieżni|běh|beh v teréne|tek
ulični tek|trčanje|futás|terepfutás|alergare|corsa in strada|course à pied|correr|carrera|corrida
córrer|lasterketa|koşu|chạy|berlari|ag rith|бег|Забег|біг|бягане|трчање|τρέξιμο|ריצה|جري|دویدن
दौड़ना|ஓட்டம்|ಓಟ|วิ่งบนถนน|跑步|户外跑|越野跑|ランニング|トレイルランニング|달리기|러닝|1002|9"""
OTHERS = """walking|Nordic walking|hike|VirtualRide|e_biking|Radfahren|Langlauf|Skilanglauf
Eislaufen
langlaufen|skiløb|langrend|rulleskøjteløb|längdskidåkning|maastohiihto|suusatamine|rower
biegi narciarskie|běh na lyžích|beh na lyžiach|tek na smučeh|skijaško trčanje|sífutás|ciclism|nuoto
sci di fondo|senderismo|esquí de fondo|patinage|natation|yüzme|kır kayağı|đi xe đạp|беговые лыжи
біг на лижах|ски бягане|ходьба|ποδηλασία|רכיבה על אופניים|ركوب الدراجات|自行车|越野滑雪|サイクリング
クロスカントリースキー|자전거|wheelchair push run|transition|strength_training|1001|4"""


@pytest.mark.parametrize("word", RUNS.replace("\n", "|").split("|"))
def test_words_for_running_are_known(word: str) -> None:
    """In the apps' languages and spellings."""
    assert named_run(word)
    assert named_run(word.upper()) or not word.isascii()


@pytest.mark.parametrize("word", OTHERS.replace("\n", "|").split("|"))
def test_words_for_other_sports_are_not_running(word: str) -> None:
    """Also if they contain a word for running, as on skis or on wheels."""
    assert named_run(word) is None


@pytest.mark.parametrize(
    "title",
    ["Skipton to Leeds", "San Remo", "フランス", "Verdun", "Golfe du Lion", "made", "Track 1"],
)
def test_titles_of_places_say_nothing_of_a_sport(title: str) -> None:
    """A title is read more strictly than a type, because it has names."""
    assert titled_run(title) is None


@given(
    st.sampled_from(["Running", "Morning Run", "Lauf am See", "晨跑", "Course à pied"]),
    st.sampled_from(["", " 5/4/26", " (2)", " - 7:30"]),
    st.floats(1.2, 4.5),
)
def test_a_title_tells_a_run_at_any_pace_on_foot(title: str, more: str, speed_m_s: float) -> None:
    """A slow one is a run too, with a note."""
    points = straight(START, distance_m=900 * speed_m_s, seconds=900, every_s=10)
    (run,) = parsed(parse_gpx(gpx([points], kind=None, name=title + more)))
    assert run.note == NAMED


@pytest.mark.parametrize("name", ["Cycling 4 May", "Fahrradfahren", "Dog walk"])
def test_a_title_of_another_sport_is_believed_before_the_pace(name: str) -> None:
    """A slow ride isn't a run."""
    points = straight(START, distance_m=2700, seconds=900, every_s=10)
    assert isinstance(parse_gpx(gpx([points], kind=None, name=name)), NotARun)


def test_no_title_makes_a_run_of_a_drive() -> None:
    """Nobody runs at 54 km/h."""
    points = straight(START, distance_m=15_000, seconds=1000, every_s=10)
    assert isinstance(parse_gpx(gpx([points], kind=None, name="Run")), NotARun)


@pytest.mark.parametrize(
    "extra",
    [
        b"<metadata><name>Workout(id=1, workoutTypeId=running, energy=1.0)</name></metadata>",
        b"<exerciseinfo><exercisetype>1002</exercisetype></exerciseinfo>",
        b"<metadata><type>Running</type></metadata>",
        b"<extensions><activityType>jogging</activityType></extensions>",
    ],
)
def test_what_apps_write_outside_the_track_tells_the_sport(extra: bytes) -> None:
    """Phone apps have their own elements for it."""
    points = straight(START, distance_m=1350, seconds=900, every_s=10)
    content = gpx([points], kind=None).replace(b"<trk>", extra + b"<trk>", 1)
    (run,) = parsed(parse_gpx(content))
    assert run.note is None


def test_another_sport_outside_the_track_is_believed() -> None:
    """The number is that of cycling."""
    points = straight(START, distance_m=2700, seconds=900, every_s=10)
    extra = b"<exerciseinfo><exercisetype>11007</exercisetype></exerciseinfo></gpx>"
    content = gpx([points], kind=None).replace(b"</gpx>", extra)
    assert isinstance(parse_gpx(content), NotARun)


def test_names_of_waypoints_are_no_titles() -> None:
    """A waypoint named "Walk" says nothing about the track."""
    points = straight(START, distance_m=2700, seconds=900, every_s=10)
    extra = b'<metadata><name>x</name></metadata><wpt lat="1" lon="1"><name>Walk</name></wpt><trk>'
    (run,) = parsed(parse_gpx(gpx([points], kind=None).replace(b"<trk>", extra, 1)))
    assert run.note == GUESSED


def test_other_in_tcx_is_a_run_by_its_name_alone() -> None:
    """The format has three sports; "Other" isn't running, whatever the pace."""
    points = straight(START, distance_m=2700, seconds=900, every_s=10)
    (run,) = parsed(parse_tcx(tcx([points], sport="Other", name="Running")))
    assert run.note == NAMED
    assert isinstance(parse_tcx(tcx([points], sport="Other")), NotARun)


def test_a_ride_and_a_run_in_one_untyped_file_stay_apart() -> None:
    """A few minutes after the ride: only the run counts."""
    ride = straight(START, distance_m=10_000, seconds=1200, every_s=5)
    run = straight(START + timedelta(seconds=1400), distance_m=5000, seconds=1500, every_s=5)
    content = gpx([ride], kind=None).replace(
        b"</gpx>", b"<trk>" + gpx([run], kind=None).split(b"<trk>")[1]
    )
    (found,) = parsed(parse_gpx(content))
    assert found.distance_m == pytest.approx(5000, rel=0.01)


def parsed(answer: object) -> tuple[Activity, ...]:
    """The activities, if there are any."""
    assert isinstance(answer, tuple), answer
    return answer
