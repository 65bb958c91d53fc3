"""After every command, forgetting an athlete leaves no byte about them below `data_dir`."""

import io
import json
import shutil
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulators.activity_files import gpx, straight
from tests.app import run_file
from tests.command import easeback
from worker.cli.commands import EXAMPLES

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
AS_OF = ("--as-of", "2026-11-20T18:00:00Z")

# Values given by the athlete, and values from their files.
NAME, EMAIL, RACE = "Canaria Name", "canary-email@example.org", "canary race"
FILES = ("canary-run.fit", "canary-torn.fit", "canary-ride.gpx", "canary-later.fit")
MEMBERS = ("canary-member.fit", "canary-inner.fit")
IMPORTED = ("canary-imported.fit", "canary-bad.fit", "canary-bad-member.fit", "canary-archive.zip")
WORDS = (
    "canary title", "canary sport", "canary row", "canary-row-id", "canary date",
    "canary summary", "canarysummaryid", "canary kind",
)  # fmt: skip
CANARIES = (NAME, EMAIL, RACE, *FILES, *MEMBERS, *IMPORTED, *WORDS)

# Commands that store nothing below `data_dir`, are aliases of ones used here, or have other tests.
ELSEWHERE = {
    "init", "demo", "run", "move-to", "forget", "connect", "disconnect", "webhook add",
    "webhook list", "webhook remove",
}  # fmt: skip


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name.replace("_", "-") + ".fit", member)
    return content.getvalue()


def fill_the_inbox(inbox: Path) -> None:
    folder = inbox / NAME
    folder.mkdir(parents=True)
    for days in range(2, 40, 2):
        day = (NOW - timedelta(days=days)).date()
        (folder / f"{day}.fit").write_bytes(run_file(5, day=day))
    (folder / FILES[0]).write_bytes(run_file(9, day=(NOW - timedelta(days=1)).date()))
    (folder / FILES[1]).write_bytes(run_file(9)[:60])
    ride = gpx(
        [straight(NOW - timedelta(days=80), distance_m=6000, seconds=1800, every_s=10)],
        name="x",
        kind=WORDS[1],
    )
    (folder / FILES[2]).write_bytes(ride)
    walk = gpx(
        [straight(NOW - timedelta(days=81), distance_m=6000, seconds=1800, every_s=10)],
        name=WORDS[0],
        kind="run",
    )
    (folder / "titled.gpx").write_bytes(walk)
    inner = zipped(canary_inner=b"xx")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr(MEMBERS[0], b"xx")
        archive.writestr("inner.zip", inner)
        archive.writestr("good.fit", run_file(4, day=(NOW - timedelta(days=50)).date()))


def make_an_export(folder: Path) -> Path:
    folder.mkdir()
    (folder / IMPORTED[0]).write_bytes(run_file(7, day=(NOW - timedelta(days=60)).date()))
    (folder / IMPORTED[1]).write_bytes(b"xx")
    (folder / IMPORTED[3]).write_bytes(zipped(canary_bad_member=b"xx"))
    (folder / "activities.csv").write_text(
        "Activity ID,Activity Date,Activity Name,Activity Type,Description,Elapsed Time,Distance\n"
        f'{WORDS[3]},"Aug 5, 2026, 4:15:21 PM",{WORDS[2]},Run,,1800,5.0\n'
        f"9,{WORDS[4]},x,Run,,1800,5.0\n"
    )
    summary = {
        "activityId": WORDS[6], "name": WORDS[5], "activityType": "running",
        "beginTimestamp": 1_782_400_400_000, "distance": 512_345.0, "duration": 2_000_000.0,
    }  # fmt: skip
    other = summary | {"activityType": WORDS[7]}
    (folder / "garmin").mkdir()  # for its own import: beside FIT files they aren't read
    (folder / "garmin" / "a_summarizedActivities.json").write_text(
        json.dumps([{"summarizedActivitiesExport": [summary, other]}])
    )
    return folder


def told_by(data: Path) -> set[str]:
    """The canaries found in any file, except the runner's own in the inbox."""
    files = [
        path for path in data.rglob("*") if path.is_file() and data / "inbox" not in path.parents
    ]
    names = "\n".join(str(path.relative_to(data)) for path in files)
    kept = b"".join(path.read_bytes() for path in files) + names.encode()
    return {canary for canary in CANARIES if canary.encode() in kept}


def test_after_every_command_nothing_is_left_of_who_was_forgotten(tmp_path: Path) -> None:
    """Twenty canaries, one in each thing that an athlete gives; another athlete's data stays."""
    data, used = tmp_path / "data", set[str]()

    def run(*command: str | Path, given: str = "") -> str:
        done = easeback(*command, cwd=tmp_path, given=given)
        assert "unexpected" not in done.stderr, (command, done.stderr)
        assert done.returncode in (0, 1), (command, done.stderr)  # 2: there's no such command
        used.add(" ".join(map(str, command)))
        return done.stdout

    run("athlete", "add", "--name", NAME, "--email", EMAIL, "--timezone", "UTC",
        "--race", RACE, "--race-date", "2027-04-11", "--race-km", "21.1",
        "--weekly", "fri 12:00", "--pain", "buttock")  # fmt: skip
    run("athlete", "add", "--name", "Bo", "--email", "bo@example.org", "--timezone", "UTC")
    fill_the_inbox(data / "inbox")
    one = ("--athlete", NAME)
    run("import", make_an_export(tmp_path / "export") / "garmin", *one)
    run("import", tmp_path / "export", *one)
    run("once", *AS_OF)
    run("once", *AS_OF)
    (data / "inbox" / NAME / FILES[3]).write_bytes(run_file(19, day=NOW.date()))
    for later in ("2026-11-20T18:10:00Z", "2026-11-20T18:20:00Z", "2026-11-27T13:00:00Z"):
        run("once", "--as-of", later)
    for command in (
        ("status",), ("runs", *one), ("alerts", *one), ("explain", *one), ("ceiling", *one),
        ("plan", *one), ("runs", "add", "--date", "2026-10-01", "--km", "6", *one),
        ("runs", "exclude", "1"), ("runs", "include", "1"), ("runs", "correct", "1", "--km", "5"),
        ("preview", "weekly", "--no-open", *one),
        ("preview", "alert", "--no-open", *one),
        ("doctor",), ("outbox", "list", "--all"), ("athlete", "list"), ("athlete", "diary", NAME),
        ("therapist", "add", "Vera", "--mail", "vera@example.org"), ("therapist", "list"),
        ("therapist", "relink", "Vera"), ("therapist", "remove", "Vera", "--yes"),
        ("athlete", "set", NAME, "--units", "mi"), ("athlete", "relink", NAME),
        ("athlete", "pause", NAME), ("athlete", "resume", NAME),
        ("open", NAME, "--no-open"),
        ("outbox", "retry", "--all"), ("outbox", "hold", "--all"), ("outbox", "release", "--all"),
        ("outbox", "drop", "--all"), ("rotate-keys",),
        ("backtest", *one), ("import", tmp_path / "export", "--json", *one),
    ):  # fmt: skip
        run(*command)
    run("backup", tmp_path / "copy.db")
    run("restore", tmp_path / "copy.db")
    # Leftovers of killed commands: a restore, a copy, the list of failures, a mail.
    shutil.copy(data / "easeback.db", data / ".easeback.db.restored.part")
    shutil.copy(data / "easeback.db", data / ".easeback.db.restored.part-wal")
    shutil.copy(data / "easeback.db", data / "backups" / ".easeback-20261120T180000Z.db.part")
    shutil.copy(data / "easeback.db", data / "backups" / "easeback-20261120T180000Z.db-wal")
    shutil.copy(data / "import-failures.txt", data / ".import-failures.txt.part")
    mail = next((data / "mailbox").glob("*.eml"))
    shutil.copy(mail, mail.with_name(f".{mail.name}.part"))

    assert told_by(data) == set(CANARIES) - {"canary kind"}  # other sports' names aren't stored
    assert len(told_by(data)) >= 20
    run("athlete", "remove", NAME, "--yes")
    unused = {
        name for name in EXAMPLES if not any(f"{one} ".startswith(f"{name} ") for one in used)
    }
    assert unused == ELSEWHERE
    assert told_by(data) == set()
    assert "Bo" in run("athlete", "list")
