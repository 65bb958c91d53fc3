"""`easeback demo`: a played season, from the outside."""

import os
import pty
import re
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from garmin_fit_sdk import Decoder, Stream

from tests.command import ROOT, easeback, installed_command
from tests.security.traps import lay_traps, ran, shadow_of_ours
from worker.demo import fit, runner
from worker.demo.folder import DemoFolder, DemoFolderError
from worker.sources.formats import fit as reader


@dataclass(frozen=True, slots=True)
class Played:
    """One demo in its own folder, and its output."""

    folder: Path
    said: str
    complained: str
    status: int

    def mails(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"*-{kind}.eml"))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A demo with settings that would break any other command, shared by all tests."""
    here = tmp_path_factory.mktemp("somewhere")
    (here / "config").mkdir()
    (here / "config" / "easeback.toml").write_text("nonsense = 1\n")
    (here / "config" / "routine.toml").write_text("not a routine\n")
    (here / "config" / "templates").mkdir()
    strange = {"EASEBACK_DATA_DIR": str(here / "mine"), "EASEBACK_NONSENSE": "1"}
    done = easeback("demo", "--no-open", cwd=here, env=strange)
    return Played(here / "demo", done.stdout, done.stderr, done.returncode)


def test_plays_with_no_setup_whatever_stands_around(played: Played) -> None:
    """Neither the folder's settings nor the environment have an effect."""
    assert (played.status, played.complained) == (0, "")
    assert not (played.folder.parent / "mine").exists()
    assert {path.name for path in played.folder.parent.iterdir()} == {"config", "demo"}


def test_ends_with_mails_named_for_their_kind(played: Played) -> None:
    """Each mail is there as sent and as a page, named by its day and kind."""
    assert len(played.mails("alert")) == 3
    assert len(played.mails("weekly")) == 30
    for path in [*played.mails("alert"), *played.mails("weekly")]:
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert path.stem.endswith(f"-{message['X-Easeback-Kind']}")
        assert "<html" in path.with_suffix(".html").read_text("utf-8")


def test_warns_in_the_ramp_with_the_routine_for_the_buttock(played: Played) -> None:
    """The February mail names the jump, and the stretch that is for buttock pain only."""
    path = played.folder / "2026-02-14-alert.eml"
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    part = message.get_body(("plain",))
    assert part is not None
    text = " ".join(part.get_content().split())
    assert "14.2 km" in str(message["Subject"])
    assert "8.7 km" in text
    assert "piriformis" in text.lower()


def test_the_runs_were_taken_in_from_files_in_the_watched_folder(played: Played) -> None:
    """Every file of the inbox became a run in the database, and none failed."""
    known = {"": len(runner.last_year()) + len(runner.season()), "kim": 0}
    known["kim"] = known[""] + len(runner.by_feel())
    for name, least in known.items():
        folder = played.folder / name / "data"
        files = list((folder / "inbox").glob("*.fit"))
        with closing(sqlite3.connect(folder / "easeback.db")) as database:
            runs = database.execute("SELECT count(*) FROM run").fetchone()[0]
            verdicts = database.execute("SELECT DISTINCT verdict FROM inbox_file").fetchall()
        assert runs == len(files) >= least
        assert verdicts == [("imported",)]


def test_who_lives_by_the_plan_is_warned_of_nothing_but_the_race(played: Played) -> None:
    """From the second alert on; running by feel causes warnings on the way too."""
    since, race = runner.FOLLOWS_FROM, runner.GOAL_RACE.day
    for name, warned in (("", False), ("kim", True)):
        with closing(sqlite3.connect(played.folder / name / "data" / "easeback.db")) as database:
            found = database.execute(
                "SELECT day, withdrawn_at FROM finding WHERE day >= ? AND day < ?",
                (str(since), str(race)),
            ).fetchall()
        assert bool(found) is warned, found


def test_the_runner_runs_what_each_mondays_plan_says(played: Played) -> None:
    """In full weeks of the plan up to the race, slightly less than it allows."""
    said = [
        re.search(r"All runs: at most ([\d.]+) km", " ".join(text.split()))
        for path in played.mails("weekly")
        if f"{runner.FOLLOWS_FROM}" <= path.name[:10] < f"{runner.GOAL_RACE.day - timedelta(6)}"
        for message in [message_from_bytes(path.read_bytes(), policy=policy.default)]
        if (part := message.get_body(("plain",)))
        for text in [part.get_content()]
    ]
    with closing(sqlite3.connect(played.folder / "data" / "easeback.db")) as database:
        sums = [
            database.execute(
                "SELECT sum(distance_m) FROM run WHERE day BETWEEN ? AND ?",
                (str(monday), str(monday + timedelta(days=6))),
            ).fetchone()[0]
            for week in range(len(said))
            for monday in [runner.FOLLOWS_FROM + timedelta(weeks=week)]
        ]
    assert len(said) == 11
    for allowed, ran_m in zip(said, sums, strict=True):
        assert allowed
        assert 0.95 * float(allowed[1]) <= ran_m / 1000 <= float(allowed[1]) + 0.1


def test_shows_the_weeks_and_the_moment_of_each_alert(played: Played) -> None:
    """The terminal's chart has a mark for each alert, and a line about it."""
    lines = played.said.splitlines()
    marks = [line for line in lines if "▲" in line and "mailed" not in line]
    assert [line.count("▲") for line in marks] == [3, 3]
    assert any(line.startswith("Sat 2026-02-14  run: 14.2 km after 8.7 km") for line in lines)
    assert str(played.folder) in played.said


def test_the_page_leads_to_every_mail_and_asks_the_network_for_nothing(played: Played) -> None:
    """Each link on the page is a file beside it."""
    page = (played.folder / "index.html").read_text("utf-8")
    linked = set(re.findall(r'(?:href|src)="([^"]+)"', page))
    mails = [*played.folder.glob("2*.html"), *played.folder.glob("kim/2*.html")]
    assert linked == {path.relative_to(played.folder).as_posix() for path in mails}
    assert any(name.startswith("kim/") for name in linked)
    assert "http" not in page
    assert "<script" not in page


def test_a_mail_as_a_page_holds_its_pictures(played: Played) -> None:
    """No `cid:` reference is left, which only a mail reader could resolve."""
    page = (played.folder / "2026-02-14-alert.html").read_text("utf-8")
    assert "data:image/png;base64," in page
    assert "cid:" not in page


def test_can_be_looked_around_in(played: Played) -> None:
    """The settings that it leaves open its database for the other commands."""
    settings = played.folder / "easeback.toml"
    told = easeback("--config", settings, "explain", "2026-02-14", cwd=played.folder.parent)
    assert told.returncode == 0
    assert "run: fired, severity 2" in told.stdout


def test_a_second_demo_replaces_the_first_and_nothing_else(played: Played, tmp_path: Path) -> None:
    """Files that somebody added stay; the rest is as the first demo left it.

    This one runs on a terminal, where it shows a progress bar, and in a folder with a stranger's
    modules, none of which is run.
    """
    here, canary = played.folder.parent, tmp_path / "canary"
    lay_traps(here, canary)
    shadow_of_ours(here, canary)
    before = {path.name for path in played.folder.iterdir()}
    (played.folder / "notes.txt").write_text("mine")
    (played.folder / "2020-01-01-alert.eml").write_text("of a demo that was")
    command = installed_command(tmp_path / "bin")
    status, seen = _on_a_terminal(command, "demo", "--no-open", cwd=here)
    assert status == 0
    assert ran(canary) == []
    assert (played.folder / "notes.txt").read_text() == "mine"
    assert {path.name for path in played.folder.iterdir()} == before | {"notes.txt"}
    assert len(played.mails("alert")) == 3
    days = [int(done) for done in re.findall(r"(\d+)/204\b", seen)]
    assert days == sorted(days)
    assert days[-1] == 204, "every day is played, and none after the last"
    assert "━" in seen


def _on_a_terminal(*command: str | Path, cwd: Path) -> tuple[int, str]:
    """Run a command with a terminal as its standard error; returns its status and that output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # Linux's sign that the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), seen.decode("utf-8")


def test_leaves_a_folder_alone_that_is_no_demo(tmp_path: Path) -> None:
    """Existing files stay untouched, and one line says what to do."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "index.html").write_text("mine")
    done = easeback("demo", "--no-open", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--folder" in done.stderr
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["index.html"]
    assert (tmp_path / "demo" / "index.html").read_text() == "mine"


def test_a_file_where_the_folder_should_be_is_wrong_usage(tmp_path: Path) -> None:
    """One line and exit status 2."""
    (tmp_path / "taken").write_text("mine")
    done = easeback("demo", "--folder", "taken", cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "taken").read_text() == "mine"


def test_never_follows_a_link_to_somebodys_data(tmp_path: Path) -> None:
    """A `data` that is a link is refused, not emptied."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    folder = DemoFolder.set_up(tmp_path / "demo")
    folder.data_dir.symlink_to(elsewhere)
    with pytest.raises(DemoFolderError, match="leads elsewhere"):
        DemoFolder.set_up(tmp_path / "demo")
    assert (elsewhere / "mine").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """If nothing can be created, the line suggests another folder."""
    tmp_path.chmod(0o500)
    done = easeback("demo", cwd=tmp_path)
    assert done.returncode == 2
    assert "--folder" in done.stderr


def test_settings_of_a_demo_survive_any_folder_name(tmp_path: Path) -> None:
    """Quotes, backslashes and control characters in the path are escaped for TOML."""
    folder = DemoFolder.set_up(tmp_path / 'a "quoted" \\ one\n\x7f🏃')
    settings = tomllib.loads(folder.settings_file.read_text("utf-8"))
    assert settings == {"data_dir": str(folder.data_dir)}


def _by_the_maker(content: bytes) -> dict[str, Any]:
    assert Decoder(Stream.from_byte_array(bytearray(content))).check_integrity()
    messages, errors = Decoder(Stream.from_byte_array(bytearray(content))).read()
    assert errors == []
    return dict(messages)


def test_the_makers_own_reader_finds_the_files_sound() -> None:
    """garmin-fit-sdk reads exactly the run that was written into a file."""
    for outing in (*runner.last_year()[:3], *runner.season()[-3:]):
        messages = _by_the_maker(fit.written(outing))
        session, activity = messages["session_mesgs"][0], messages["activity_mesgs"][0]
        assert session["sport"] == "running"
        assert session["start_time"] == outing.started_at
        assert session["total_distance"] == outing.distance_m
        assert session["total_timer_time"] == outing.moving_s
        assert messages["record_mesgs"][-1]["distance"] == outing.distance_m
        assert activity["num_sessions"] == 1


def test_our_reader_gets_every_run_with_the_runners_own_clock() -> None:
    """Distance, start and the summer or winter offset of each run survive."""
    for outing in (*runner.last_year(), *runner.season(), *runner.by_feel()):
        parsed = reader.parse_fit(fit.written(outing))
        assert isinstance(parsed, tuple)
        assert [(run.started_at, run.distance_m, run.offset) for run in parsed] == [
            (outing.started_at, outing.distance_m, outing.offset)
        ]
    assert {outing.offset for outing in runner.by_feel()} == {
        timedelta(hours=1),
        timedelta(hours=2),
    }
