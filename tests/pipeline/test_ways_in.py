"""The promises of docs/ways-in.md: files as these programs write them come in through the inbox."""

import gzip
import io
import zipfile
from datetime import UTC, datetime, time, timedelta

import pytest

from simulators.activity_files import Leg, fit_activity, straight, tcx
from tests import nightly
from tests.app import TODAY, App

START = datetime.combine(TODAY, time(5, 30), tzinfo=UTC)
METRES, SECONDS = 8000.0, 2700


def fit(*, records: int = 540, sub_sport: str = "generic") -> bytes:
    """A watch's file: records, a session, the local time."""
    legs = [Leg(START, METRES, float(SECONDS), float(SECONDS), sub_sport=sub_sport)]
    return fit_activity(legs, offset_h=2, records=records)


def points(*, extensions: str = "") -> str:
    """The points of a GPX track, one every ten seconds."""
    return "".join(
        f'<trkpt lat="{fix.lat:.6f}" lon="{fix.lon:.6f}"><ele>512.4</ele>'
        f"<time>{fix.at:%Y-%m-%dT%H:%M:%SZ}</time>{extensions}</trkpt>"
        for fix in straight(START, distance_m=METRES, seconds=SECONDS, every_s=10)
    )


def open_tracks(kind: str, translated: str) -> bytes:
    """OpenTracks: type, statistics and the translated type in the track's extensions."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="OpenTracks" xmlns="http://www.topografix.com/GPX/1/1"
 xmlns:topografix="http://www.topografix.com/GPX/Private/TopoGrafix/0/1"
 xmlns:opentracks="http://opentracksapp.com/xmlschemas/v1"
 xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2"
 xmlns:gpxtrkx="http://www.garmin.com/xmlschemas/TrackStatsExtension/v1">
<trk><name><![CDATA[Morgens]]></name><desc><![CDATA[]]></desc><type><![CDATA[{kind}]]></type>
<extensions><topografix:color>c0c0c0</topografix:color>
<opentracks:trackid>00000000-0000-4000-8000-000000000001</opentracks:trackid>
<opentracks:typeTranslated><![CDATA[{translated}]]></opentracks:typeTranslated>
<gpxtrkx:TrackStatsExtension><gpxtrkx:Distance>8003.1</gpxtrkx:Distance>
<gpxtrkx:TimerTime>2700</gpxtrkx:TimerTime><gpxtrkx:MovingTime>2688</gpxtrkx:MovingTime>
</gpxtrkx:TrackStatsExtension></extensions>
<trkseg>{points()}</trkseg></trk></gpx>""".encode()


def gadgetbridge(name: str = "Outdoor Running") -> bytes:
    """Gadgetbridge: the name and the time of the export in the metadata, no sport in the track."""
    pulse = (
        "<extensions><gpxtpx:TrackPointExtension><gpxtpx:hr>140</gpxtpx:hr>"
        "</gpxtpx:TrackPointExtension></extensions>"
    )
    return f"""<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>
<gpx xmlns="http://www.topografix.com/GPX/1/1"
 xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2"
 xmlns:opentracks="http://opentracksapp.com/xmlschemas/v1" version="1.1"
 creator="Gadgetbridge 0.84.0"><metadata><name>{name}</name>
<author><name>ana</name></author><time>{START + timedelta(hours=9):%Y-%m-%dT%H:%M:%SZ}</time>
</metadata><trk><extensions>
<opentracks:trackid>00000000-0000-4000-8000-000000000002</opentracks:trackid></extensions>
<trkseg>{points(extensions=pulse)}</trkseg></trk></gpx>""".encode()


def fitotrack() -> bytes:
    """FitoTrack: the file's name comes from the workout's row and includes the sport."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="FitoTrack"><metadata>
<name>Workout(id=1, comment=, distance=8000, workoutTypeId=running, edited=false)</name>
<desc></desc><time>{START:%Y-%m-%dT%H:%M:%SZ}</time></metadata>
<trk><number>0</number><trkseg>{points()}</trkseg></trk></gpx>""".encode()


def zepp() -> bytes:
    """Zepp: a named track without a word for its sport."""
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<gpx creator="Zepp App" version="1.1" xmlns="http://www.topografix.com/GPX/1/1"
 xmlns:ns3="http://www.garmin.com/xmlschemas/TrackPointExtension/v1"><metadata/>
<trk><name>{START:%Y%m%d%H%M%S}</name><trkseg>{points()}</trkseg></trk></gpx>""".encode()


def polar(*, packed: bool) -> bytes:
    """Polar Flow: TCX, also in a zip."""
    content = tcx([straight(START, distance_m=METRES, seconds=SECONDS, every_s=10)])
    if not packed:
        return content
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"Ana_Muster_{TODAY}_07-30-00.TCX", content)
    return box.getvalue()


FILES = {
    f"HealthFit/{TODAY}-073000-Running-Apple Watch.fit": fit(),
    f"HealthFit/{TODAY}-073000-Indoor Running-Apple Watch.fit": fit(sub_sport="treadmill"),
    "WorkOutDoors/Run.fit": fit(),
    f"Gadgetbridge/gadgetbridge-running-{TODAY}T07_30_00+02_00.gpx": gadgetbridge(),
    f"Gadgetbridge/gadgetbridge-track-{TODAY}T07_30_00+02_00.gpx": gadgetbridge("Morgens"),
    f"OpenTracks/{TODAY}_07_30_Morgens.gpx": open_tracks("running", "running"),
    f"OpenTracks/{TODAY}_07_30_Morgens (1).gpx": open_tracks("running", "Laufen"),
    f"OpenTracks/{TODAY}_07_30_trail.gpx": open_tracks("trail running", "Traillauf"),
    "FitoTrack/workout-1.gpx": fitotrack(),
    "COROS/Lauf.fit": fit(),
    f"Polar/Ana_Muster_{TODAY}_07-30-00.TCX": polar(packed=False),
    f"Polar/Ana_Muster_{TODAY}_07-30-00.zip": polar(packed=True),
    "Suunto/Running.fit": fit(records=0),
    "Zepp/workout.gpx": zepp(),
    "Zepp/workout.fit": fit(),
    "GARMIN/Activity/2026-07-30-00.FIT": fit(),
    "Syncthing/packed.fit.gz": gzip.compress(fit()),
}


@nightly.ON_POSTGRES
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("folder", ["", "Anna/"], ids=["alone", "of several"])
def test_a_programs_file_is_a_run(app: App, name: str, folder: str) -> None:
    """With one athlete in the program's own folders, with several below the athlete's name."""
    anna = app.athlete()
    if folder:
        app.athlete("Ben")
    app.drop(folder + name, FILES[name])
    assert app.look(2).imported == 1
    assert app.distances_km(anna) == [pytest.approx(8.0, rel=0.01)]
    assert app.waiting() == {}


def test_the_same_run_from_every_program_is_one(app: App) -> None:
    """Connecting several programs neither loses nor duplicates runs."""
    anna = app.athlete()
    for name, content in FILES.items():
        app.drop(name, content)
    app.look(2)
    assert app.distances_km(anna) == [pytest.approx(8.0, rel=0.01)]


@nightly.ON_POSTGRES
@pytest.mark.parametrize(
    "name",
    [".stfolder/x.fit", ".stversions/run~20260504.fit", ".syncthing.run.fit.tmp",
     "~syncthing~run.fit.tmp", "run.sync-conflict-20260504-073000-ABCDEFG.fit", "run.fit.partial",
     ".run.fit.icloud"],
)  # fmt: skip
def test_what_sync_programs_leave_is_passed_over(app: App, name: str) -> None:
    """It's neither a run nor a problem."""
    anna = app.athlete()
    app.drop(f"HealthFit/{name}", fit())
    assert app.look(2).imported == 0
    assert (app.distances_km(anna), app.waiting()) == ([], {})


@pytest.mark.parametrize("translated", ["Radfahren", "cycling"])
def test_a_ride_of_a_phone_is_no_run(app: App, translated: str) -> None:
    """By its type, whatever its pace."""
    anna = app.athlete()
    app.drop("OpenTracks/ride.gpx", open_tracks(translated, translated))
    assert app.look(2).imported == 0
    assert app.distances_km(anna) == []
