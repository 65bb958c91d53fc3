"""The command line as a process: exit statuses, exact JSON, one line for each error."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from icalendar import Calendar

from tests.app import TODAY, run_file
from tests.cli.answers import ANNA, is_one_line, read
from tests.command import ROOT, easeback
from worker.domain.files import Snapshot
from worker.store import Store

DAY = timedelta(days=1)
EVENING = f"{TODAY}T18:00:00Z"
NEXT_MINUTE = f"{TODAY}T18:01:00Z"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Anna's Easeback: eight weeks imported, a spike of today dropped, alerted and mailed."""
    home = tmp_path_factory.mktemp("home")
    history = home / "history"
    history.mkdir()
    for back in range(2, 56, 2):
        (history / f"{back}.fit").write_bytes(run_file(8.0, day=TODAY - back * DAY))
    said = [
        easeback(*command, cwd=home)
        for command in (
            ("athlete", "add", "--name", "Anna", "--email", "anna@example.org", "--timezone",
             "Europe/Berlin", "--pain", "buttock", "--race", "Spring half", "--race-date",
             "2027-05-09", "--race-km", "21.1"),
            ("import", history),
        )
    ]  # fmt: skip
    inbox = home / "data" / "inbox"
    inbox.mkdir(exist_ok=True)
    (inbox / "spike.fit").write_bytes(run_file(12.0))
    (inbox / "bad.fit").write_bytes(b"no FIT file")
    said += [easeback("once", "--as-of", at, cwd=home) for at in (EVENING, NEXT_MINUTE)]
    # The bad file needs attention, everything else went well.
    assert [one.returncode for one in said] == [0, 0, 0, 1], [one.stderr for one in said]
    assert "bad.fit" in said[-1].stderr
    return home


# Exact JSON
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
Shape = Any
"""A type, a pattern, a tuple of alternatives, [shape] for a list of it, or a dict."""


def misfits(value: object, shape: Shape, at: str = "$") -> Iterator[str]:
    """Yield the paths of values without the shape; exactly its keys are allowed."""
    if isinstance(shape, re.Pattern):
        if not isinstance(value, str) or not shape.fullmatch(value):
            yield f"{at}: {value!r} is not like {shape.pattern}"
    elif isinstance(shape, tuple):
        if all(any(misfits(value, one)) for one in shape):
            yield f"{at}: {value!r} is none of {shape}"
    elif isinstance(shape, list):
        assert isinstance(value, list), at
        for number, item in enumerate(value):
            yield from misfits(item, shape[0], f"{at}[{number}]")
    elif isinstance(shape, Mapping):
        assert isinstance(value, dict), at
        yield from _misfitting_keys(value, shape, at)
    elif type(value) not in ((int, float) if shape is float else (shape,)):
        yield f"{at}: {value!r} is not {shape.__name__}"


def _misfitting_keys(value: dict[str, Any], shape: Mapping[str, Shape], at: str) -> Iterator[str]:
    for key in value.keys() ^ shape.keys():
        yield f"{at}.{key}: {'missing' if key in shape else 'not in the contract'}"
    for key in value.keys() & shape.keys():
        yield from misfits(value[key], shape[key], f"{at}.{key}")


NONE = type(None)
RUN = {
    "id": int, "athlete": str, "started_at": INSTANT, "day": DATE, "distance_m": float,
    "moving_s": (float, NONE), "elapsed_s": (float, NONE), "sport": str,
    "sources": [{"source": re.compile("inbox|import|strava|garmin|intervals"), "external_id": str}],
}  # fmt: skip
ALERT = {
    "id": int, "athlete": str, "day": DATE, "kind": re.compile("run|return|ramp|month"),
    "severity": int,
    "observed": float, "baseline": float, "ratio": float, "run_id": int,
    "mailed_at": (INSTANT, NONE), "message_id": (str, NONE),
}  # fmt: skip
CEILING = {
    "day": DATE, "next_run_m": (float, NONE), "week_m": (float, NONE), "week_done_m": float,
    "longest_30d_m": float, "basis": str,
}  # fmt: skip
PLAN = {
    "day": DATE, "state": re.compile("unknown|open|on track|tight|short|see somebody"),
    "weeks_short": int, "reason": str,
    "weeks": [{"starts_on": DATE, "kind": re.compile("gentle|build|hold|easy|taper|rest"),
               "week_m": float, "long_m": float, "long_on": (DATE, NONE)}],
}  # fmt: skip
BACKTEST = {
    "runs": int, "first_day": DATE, "last_day": DATE, "days": int, "weeks_running": int,
    "alerts": [{"day": DATE, "kind": str, "severity": int, "observed": float, "baseline": float,
                "ratio": float, "mailed": bool}],
    "mailed_per_year": float,
}  # fmt: skip
FILES = [{"file": str, "reason": str}]
STATUS = {
    "ok": bool, "version": str, "database": str,
    "outbox": {"queued": int, "retrying": int, "dead": int},
    "inbox": {"imported": int, "duplicate": int, "failed": FILES, "skipped": FILES},
}  # fmt: skip
STATUS_ATHLETE = {"name": str, "runs": int, "last_run": (INSTANT, NONE), "next_weekly": INSTANT}
STATUS_SOURCE = {
    "state": str, "last_success": (INSTANT, NONE), "last_error": (str, NONE), "backlog": int,
}  # fmt: skip


def test_the_checker_sees_what_is_wrong() -> None:
    """An additional key, a missing one, one of another type."""
    shape = {"a": float, "b": [{"c": DATE}]}
    assert list(misfits({"a": 1, "b": [{"c": "2026-11-20"}]}, shape)) == []
    assert list(misfits({"a": "1", "b": [{"c": "Friday", "d": 1}]}, shape)) != []
    assert [*misfits({"b": []}, shape)] == ["$.a: missing"]
    assert [*misfits({"a": True, "b": []}, shape)] == ["$.a: True is not float"]


def test_runs_are_told_to_the_letter(home: Path) -> None:
    """Oldest first, each with its sources."""
    runs = read(home, "runs")
    assert list(misfits(runs, [RUN])) == []
    assert [one["day"] for one in runs] == sorted(one["day"] for one in runs)
    assert len(runs) == 28
    assert {source["source"] for one in runs for source in one["sources"]} == {"import", "inbox"}
    assert runs[-1]["started_at"] == f"{TODAY}T06:00:00Z"


def test_alerts_are_told_to_the_letter(home: Path) -> None:
    """Today's spike, with its mail."""
    alerts = read(home, "alerts")
    assert list(misfits(alerts, [ALERT])) == []
    (alert,) = alerts
    assert (alert["kind"], alert["observed"], alert["baseline"], alert["ratio"]) == (
        "run", 12_000, 8000, 1.5,
    )  # fmt: skip
    assert alert["mailed_at"].startswith(f"{TODAY}T18:01")
    mailbox = list((home / "data" / "mailbox").glob("*.eml"))
    assert [alert["message_id"] in mail.read_text() for mail in mailbox] == [True]
    assert alert["run_id"] == read(home, "runs")[-1]["id"]


def test_status_is_told_to_the_letter(home: Path) -> None:
    """Every documented key is there; more are allowed."""
    status = read(home, "status")
    for where, shape in (("outbox", STATUS["outbox"]), ("inbox", STATUS["inbox"])):
        assert isinstance(shape, dict)
        part = {key: status[where][key] for key in shape}
        assert list(misfits(part, shape, where)) == []
    (athlete,) = status["athletes"]
    assert list(misfits({key: athlete[key] for key in STATUS_ATHLETE}, STATUS_ATHLETE)) == []
    assert athlete["sources"].keys() == {"import", "inbox"}
    for source in athlete["sources"].values():
        assert list(misfits({key: source[key] for key in STATUS_SOURCE}, STATUS_SOURCE)) == []
    assert {key: type(status[key]) for key in ("ok", "version", "database")} == {
        "ok": bool, "version": str, "database": str,
    }  # fmt: skip
    assert (status["ok"], athlete["runs"], status["inbox"]["imported"]) == (True, 28, 1)
    assert [one["file"] for one in status["inbox"]["failed"]] == ["bad.fit"]


def test_the_plan_is_told_to_the_letter_and_the_ceiling_is_its_first_week(home: Path) -> None:
    """Up to the athlete's race and to another; `next_run_m` and `week_m` are the plan's."""
    race = ("--race-date", (TODAY + timedelta(weeks=10)).isoformat(), "--race-km", "21.1")
    for more in ((), race):
        found = read(home, "plan", "--as-of", NEXT_MINUTE, *more)
        assert list(misfits(found, PLAN)) == []
        assert found["day"] == TODAY.isoformat()
        assert len(found["weeks"]) == (11 if more else 25)
    week = read(home, "plan", "--as-of", NEXT_MINUTE)["weeks"][0]
    ceiling = read(home, "ceiling", "--as-of", NEXT_MINUTE)
    assert ceiling["week_m"] == week["week_m"]
    assert ceiling["next_run_m"] >= week["long_m"]


def test_the_plan_as_a_calendar_has_the_long_runs_of_the_plan(home: Path, tmp_path: Path) -> None:
    """RFC 5545 bytes; also for a table, with stable UIDs."""
    table = tmp_path / "history.csv"
    days = [TODAY - timedelta(days=back) for back in range(120, 0, -3)]
    rows = [f"{day}T07:00:00,8000" for day in days]
    table.write_text("\n".join(["start_date_local,distance_m", *rows]))
    race = ("--race-date", (TODAY + timedelta(weeks=10)).isoformat(), "--race-km", "21.1")
    for of in ((), (str(table),)):
        asked = ("plan", *of, "--as-of", NEXT_MINUTE, *race)
        first, again = (
            subprocess.run(  # noqa: S603  our own program
                [sys.executable, "-m", "worker", *asked, "--ics"],
                cwd=home,
                env={"PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": ""},
                capture_output=True,
                timeout=60,
                check=True,
            ).stdout
            for _ in range(2)
        )
        planned = [one for one in read(home, *asked)["weeks"] if one["long_on"]]
        events = Calendar.from_ical(first).events
        assert [one.start.isoformat() for one in events] == [one["long_on"] for one in planned]
        assert first.endswith(b"END:VCALENDAR\r\n")
        assert [one["uid"] for one in Calendar.from_ical(again).events] == [
            one["uid"] for one in events
        ]


def test_the_ceiling_of_a_week_that_is_used_up_is_said_in_words(home: Path) -> None:
    """On the Sunday after a jump; in JSON it's still a number."""
    sunday = ("--as-of", f"{TODAY + timedelta(days=2)}T18:00:00Z")
    said = easeback("ceiling", *sunday, cwd=home).stdout
    monday = TODAY + timedelta(days=3)
    assert f"next run: with the week from {monday:%a %Y-%m-%d}; what this one allows" in said
    assert "0.0 km" not in said
    found = read(home, "ceiling", *sunday)
    assert (found["next_run_m"], found["week_m"]) == (0, found["week_done_m"])


def test_ceiling_and_backtest_are_told_to_the_letter(home: Path) -> None:
    """The first as of today, the second over the whole history."""
    ceiling = read(home, "ceiling", "--as-of", NEXT_MINUTE)
    assert list(misfits(ceiling, CEILING)) == []
    assert ceiling["day"] == TODAY.isoformat()
    backtest = read(home, "backtest")
    assert list(misfits(backtest, BACKTEST)) == []
    assert [(one["day"], one["mailed"]) for one in backtest["alerts"]] == [
        (TODAY.isoformat(), True)
    ]


# Exit statuses and single lines


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


_MANY = """
import contextlib, io, json, sys
from worker.cli.app import _globals_first, run_command_line
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_command_line(_globals_first(arguments))
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""


def many(home: Path, calls: Sequence[Sequence[str]]) -> list[Done]:
    """Many commands in one process, because starting one is slow."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", _MANY],
        cwd=home,
        env={"PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": ""},
        input=json.dumps(calls),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


NONSENSE = [
    ((), "Usage"),
    (("fly",), "No such command"),
    (("run", "--fast"), "No such option"),
    (("athlete", "add", "--name", "Ben"), "--email"),
    (("athlete", "add", "--name", "", "--email", "b@example.org"), "--name"),
    (("athlete", "add", "--name", "x" * 81, "--email", "b@example.org"), "--name"),
    (("athlete", "add", "--name", "../Ben", "--email", "b@example.org"), "--name"),
    (("athlete", "add", "--name", "B\u202een", "--email", "b@example.org"), "--name"),
    (("athlete", "add", "--name", "Ben", "--email", "nowhere"), "--email"),
    (("athlete", "add", "--name", "Ben", "--email", "a@b.org\nBcc: all@b.org"), "--email"),
    ((*ANNA, "--timezone", "Europe/Berlyn"), "Europe/Berlin"),
    ((*ANNA, "--timezone", ""), "--timezone"),
    ((*ANNA, "--timezone", "../../etc/passwd"), "--timezone"),
    ((*ANNA, "--units", "miles"), "--units"),
    ((*ANNA, "--clock", "13"), "--clock"),
    ((*ANNA, "--language", "tlh"), "there are: de, en, fr"),
    ((*ANNA, "--language", "../en"), "--language"),
    ((*ANNA, "--week-starts", "friday"), "--week-starts"),
    ((*ANNA, "--weekly", "someday 07:00"), "--weekly"),
    ((*ANNA, "--weekly", "monkey 07:00"), "--weekly"),
    ((*ANNA, "--weekly", "mon 25:00"), "--weekly"),
    ((*ANNA, "--weekly", "mon 07:00+02:00"), "--weekly"),
    ((*ANNA, "--pain", "wallet"), "--pain"),
    ((*ANNA, "--race", "Half"), "--race-date"),
    ((*ANNA, "--race", "Half", "--race-date", "9.5.2027", "--race-km", "21.1"), "9.5.2027"),
    ((*ANNA, "--race", "Half", "--race-date", "2027-05-09", "--race-km", "nan"), "--race-km"),
    ((*ANNA, "--race", "Half", "--race-date", "2027-05-09", "--race-km", "-3"), "--race-km"),
    (ANNA, "already"),
    (("athlete", "add", "--name", "ANNA", "--email", "a@example.org"), "already"),
    (("athlete", "set", "Anna"), "nothing to change"),
    (("athlete", "set", "Ana", "--units", "km"), "did you mean 'Anna'"),
    (("athlete", "set", "Anna", "--mail", "all"), "--mail"),
    (("athlete", "remove", "Zoe", "--yes"), "no athlete is called"),
    (("runs", "--athlete", "Ben"), "no athlete is called"),
    (("explain", "sometime"), "neither a date"),
    (("explain", "2026-13-45"), "not a date"),
    (("ceiling", "--as-of", "soon"), "not an instant"),
    (("plan", "--race-km", "10"), "both --race-date DATE and --race-km N"),
    (("plan", "--race-date", "2026-09-01", "--race-km", "0"), "not the length of a race"),
    (("plan", "--ics", "--json"), "choose one"),
    (("ceiling", "--as-of", "9999-12-31T23:59:59Z"), "--as-of"),
    (("once", "--as-of", "0001-01-01"), "--as-of"),
    (("preview", "nothing"), "not 'nothing'"),
    (("import", "nowhere.fit"), "nowhere.fit"),
    (("backup", "."), "not a place"),
    (("backup", "nowhere/copy.db"), "not a place"),
    (("--config", "missing.toml", "runs"), "missing.toml"),
]  # fmt: skip


def test_nonsense_is_refused_with_one_line_and_status_2(home: Path) -> None:
    """Each line names the error; nothing is changed."""
    before = read(home, "athlete", "list")
    done = many(home, [arguments for arguments, _ in NONSENSE])
    for (arguments, words), one in zip(NONSENSE, done, strict=True):
        said = f"{arguments} said {one.err!r}"
        assert words in one.err + one.out, said
        if arguments:
            assert (one.status, one.out) == (2, ""), said
            assert is_one_line(one.err), said
    assert read(home, "athlete", "list") == before


def test_an_athlete_is_added_changed_listed_and_removed(tmp_path: Path) -> None:
    """Options that aren't given change nothing."""
    *_, added, changed, gone = many(
        tmp_path,
        [
            (*ANNA, "--timezone", "Europe/Berlin", "--units", "mi", "--clock", "12",
             "--language", "DE", "--week-starts", "sunday", "--weekly", "sun 7:30",
             "--pain", "buttock,low-back", "--race", "Half", "--race-date", "2027-05-09",
             "--race-km", "21.1"),
            ("athlete", "list", "--json"),
            ("athlete", "set", "anna", "--pain", "none", "--race-km", "10", "--mail", "weekly",
             "--language", "none"),
            ("athlete", "list", "--json"),
            ("athlete", "remove", "Anna", "--yes"),
            ("athlete", "list", "--json"),
        ],
    )[1::2]  # fmt: skip
    (anna,) = json.loads(added.out)
    assert anna == {
        "name": "Anna", "email": "anna@example.org", "timezone": "Europe/Berlin", "units": "mi",
        "clock": "12", "language": "de", "week_starts": "sunday", "weekly": "sun 07:30",
        "pain": ["buttock", "low_back"],
        "race": {"name": "Half", "date": "2027-05-09", "km": 21.1}, "mail": ["alert", "weekly"],
        "paused_since": None,
    }  # fmt: skip
    assert json.loads(changed.out) == [
        {**anna, "pain": [], "race": {**anna["race"], "km": 10.0}, "mail": ["weekly"],
         "language": None}
    ]  # fmt: skip
    assert json.loads(gone.out) == []


def test_what_needs_attention_is_said_on_standard_error_with_status_1(tmp_path: Path) -> None:
    """A file without an athlete: `once` and `status` both report it."""
    assert easeback(*ANNA, cwd=tmp_path).returncode == 0
    stray = tmp_path / "data" / "inbox" / "Ben" / "run.fit"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(run_file(8.0))
    easeback("once", cwd=tmp_path)
    done = easeback("once", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "no athlete is called Ben" in done.stderr
    assert is_one_line(done.stderr)
    assert json.loads(done.stdout)["inbox"]["imported"] == 0
    status = read(tmp_path, "status", status=1)
    assert [one["file"] for one in status["inbox"]["waiting"]] == ["Ben/run.fit"]


def test_people_are_answered_in_words(home: Path) -> None:
    """Every command that shows something, with readable output and no traceback."""
    calls = [
        ("runs",), ("alerts",), ("status",), ("explain", "--as-of", EVENING),
        ("explain", TODAY.isoformat()), ("ceiling", "--as-of", EVENING), ("backtest",),
        ("plan", "--as-of", EVENING),
        ("doctor",), ("athlete", "list"), ("outbox", "list"),
        ("preview", "alert", "--no-open", "--as-of", EVENING),
        ("preview", "weekly", "--no-open", "--as-of", EVENING),
        ("backup", "copy.db"), ("--help",), ("athlete", "--help"),
    ]  # fmt: skip
    for arguments, done in zip(calls, many(home, calls), strict=True):
        assert done.status == 0, f"{arguments}: {done.err}"
        assert done.out.strip(), arguments
        assert "Traceback" not in done.err, arguments
    assert (home / "copy.db").exists()


def test_the_version_is_said_without_bringing_the_house_along(tmp_path: Path) -> None:
    """Start-up stays light."""
    command = (
        "import sys; sys.argv = ['easeback', '--version']\n"
        "from worker.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'sqlalchemy', 'pydantic', 'stravalib', 'jinja2', 'alembic', 'starlette'}\n"
        "print(status, sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    version, rest = done.stdout.splitlines()
    assert re.fullmatch(r"easeback \d+\.\d+\.\S+", version)
    assert rest == "0 []"


def test_which_week_the_weekly_mail_tells_of_is_said(tmp_path: Path) -> None:
    """When it's chosen, and in the list."""
    added = easeback(*ANNA, "--weekly", "sun 12:00", cwd=tmp_path)
    assert "about the week that ended 7 days before" in added.stdout
    changed = easeback("athlete", "set", "Anna", "--weekly", "sun 18:00", cwd=tmp_path)
    assert "about the week that ends that day" in changed.stdout
    assert "ends that day" in easeback("athlete", "list", cwd=tmp_path).stdout


def test_one_run_is_one_and_distances_are_rounded_as_in_mails(tmp_path: Path) -> None:
    """33.05 km is 33.1 km in a mail, on the page and in a table."""
    easeback(*ANNA, cwd=tmp_path)
    (tmp_path / "long.fit").write_bytes(run_file(33.05, day=TODAY))
    easeback("import", "long.fit", cwd=tmp_path)
    assert "Anna: 1 run, the last" in easeback("status", cwd=tmp_path).stdout
    (run,) = read(tmp_path, "runs")
    assert run["distance_m"] == 33_050
    assert "33.1 km" in easeback("runs", cwd=tmp_path).stdout


def test_status_has_a_bound_however_many_files_wait(tmp_path: Path) -> None:
    """As with two hundred thousand files in the wrong place; it says how many more there are."""
    easeback("athlete", "add", "--name", "Ann", "--email", "a@example.org", cwd=tmp_path)
    files = [Snapshot(f"{number:05}.fit", 1, 1, reason="it waits") for number in range(10_003)]
    quiet = Snapshot("00000-just-came.fit", 1, 1)
    with (
        closing(Store.open(f"sqlite:///{tmp_path / 'data' / 'easeback.db'}")) as store,
        store.transaction() as tx,
    ):
        tx.inbox.wait([quiet, *files], now=datetime.now(UTC))
    told = json.loads(easeback("status", "--json", cwd=tmp_path).stdout)
    assert len(told["inbox"]["waiting"]) == 10_000
    assert told["inbox"]["more"] == {"waiting": 4}
    assert len(told["attention"]) <= 60
    said = easeback("status", cwd=tmp_path).stdout.splitlines()
    assert len(said) <= 120
    assert "  9,954 more wait: `easeback status --json` lists 10,000 of each kind" in said


def test_status_says_what_was_recovered_or_is_doubtful_in_the_files_of_runs(tmp_path: Path) -> None:
    """All of them in JSON; a few for people, and how many more."""
    easeback("athlete", "add", "--name", "Ann", "--email", "a@example.org", cwd=tmp_path)
    files = [
        Snapshot(f"{number}.fit", 1, 1, 2, "imported", "distance by its laps" if number else "")
        for number in range(8)
    ]
    with (
        closing(Store.open(f"sqlite:///{tmp_path / 'data' / 'easeback.db'}")) as store,
        store.transaction() as tx,
    ):
        tx.inbox.save(files, now=datetime.now(UTC))
    told = json.loads(easeback("status", "--json", cwd=tmp_path).stdout)
    assert [one["file"] for one in told["inbox"]["noted"]] == [f"{n}.fit" for n in range(1, 8)]
    said = easeback("status", cwd=tmp_path).stdout.splitlines()
    assert "  about 1.fit: distance by its laps" in said
    assert "  about 2 more files: `easeback status --json` lists them" in said
