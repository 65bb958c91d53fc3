"""Read-only commands start without modules that they don't use."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

from simulators.recordings import recording
from tests.command import ROOT, easeback
from worker.cli.table import table_lines
from worker.jobs.registry import all_jobs, patience_of
from worker.jobs.rhythm import rhythms
from worker.sources.registry import SOURCES
from worker.sources.sections import SECTIONS
from worker.store import Store

READING = [["runs"], ["status"], ["ceiling"], ["plan", "--json"], ["alerts"], ["explain"],
           ["athlete", "list"]]  # fmt: skip
NOT_NEEDED = {
    "alembic", "apscheduler", "cryptography", "icalendar", "itsdangerous", "jinja2", "PIL",
    "prometheus_client",
    "psycopg", "requests", "rich", "starlette", "stravalib", "urllib3", "uvicorn",
    "sqlalchemy.dialects.postgresql", "worker.app", "worker.demo", "worker.jobs.registry",
    "worker.mail", "worker.notify", "worker.pipeline.services", "worker.sources.formats",
    "worker.sources.registry", "worker.web",
}  # fmt: skip
"""Modules that each of them once loaded, or might."""

RUN_AND_LIST = """
import json, sys
from worker.cli.app import run_command_line
for command in json.loads(sys.argv[1]):
    print(command, run_command_line(command), file=sys.stderr)
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(commands: list[list[str]], home: Path) -> set[str]:
    """The modules that a new interpreter has loaded after running the commands."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", RUN_AND_LIST, json.dumps(commands)],
        cwd=home, env={"PYTHONPATH": str(ROOT), "HOME": str(home)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    for command in commands:
        assert f"{command} 0" in done.stderr
    loaded: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(loaded)


def test_commands_that_read_load_nothing_that_they_do_not_use(tmp_path: Path) -> None:
    """Most of a short command's time goes into loading modules."""
    easeback("athlete", "add", "--name", "Anna", "--email", "a@example.org", cwd=tmp_path)
    store = Store.open(f"sqlite:///{tmp_path / 'data' / 'easeback.db'}")
    today = date.today()  # noqa: DTZ011  the commands' own day, roughly
    runs = [recording(today - timedelta(days=back), 8.0) for back in range(2, 60, 2)]
    with store.transaction() as tx:
        (anna,) = tx.athletes.all()
        tx.runs.save(anna, runs, now=runs[0].started_at, today=today)
    store.close()
    assert modules_after(READING, tmp_path) & NOT_NEEDED == set()


def test_a_typo_and_help_load_no_database(tmp_path: Path) -> None:
    assert "sqlalchemy" not in modules_after([["--help"], ["runs", "--help"]], tmp_path)


def test_what_is_known_before_jobs_and_services_are_loaded_is_what_they_say() -> None:
    """Each has an entry in a list that loads quickly, and in the one with its code."""
    assert {kind.name: kind.section for kind in SOURCES} == SECTIONS
    assert [kind.name for kind in SOURCES] == list(SECTIONS)
    every = timedelta(seconds=7)
    told = {name: rhythm.patience for name, rhythm in rhythms(every).items()}
    assert patience_of(all_jobs(every)) == told


TITLES = ("id", "athlete", "what is said")
ROWS = [("7", "Anna", "a sentence of more than a few words"), ("12", "Ben", "日本の文")]


def test_tables_fit_the_width_without_a_broken_word() -> None:
    """The widest column wraps; right-aligned columns stay so; wide letters take two places."""
    lines = list(table_lines(TITLES, ROWS, right={0}, width=30))
    assert [line for line in lines if line.startswith(("\x1b", " 7", "12", "  "))] == lines
    assert lines[1:] == [
        " 7  Anna     a sentence of",
        "             more than a few",
        "             words",
        "12  Ben      日本の文",
    ]
    assert list(table_lines(TITLES, ROWS))[1] == f"7   Anna     {ROWS[0][2]}"


def test_where_words_have_no_room_each_row_is_a_block() -> None:
    lines = list(table_lines(("", "athlete"), [("12345678901234567890", "Anna")], width=18))
    assert max(map(len, lines)) <= 18 + len("\x1b[1m\x1b[0m")
    assert lines[-1].endswith("Anna")


def test_a_wide_letter_gets_a_line_of_its_own_where_there_is_room_for_half_of_it() -> None:
    """On a terminal that is narrower than a title."""
    lines = list(table_lines(("name", "wide"), [("日本", "x")], width=3))
    assert [line.split()[-1] for line in lines] == ["日", "本", "x"]


def test_a_thousand_rows_are_cheap_to_lay_out() -> None:
    """Measured in function calls for each row instead of time."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    rows = [(str(number), "Anna", "8.0 km") for number in range(1000)]
    sys.setprofile(count)
    try:
        lines = list(table_lines(("id", "athlete", "distance"), rows, width=60))
    finally:
        sys.setprofile(None)
    assert len(lines) == 1001
    assert calls < 100_000  # rich's table took two million
