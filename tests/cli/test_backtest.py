"""`easeback backtest`: a replayed history from the outside, and the chart of its weeks."""

import json
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.command import easeback
from tests.effort import calls_of
from worker.cli.backtest import replay_runs
from worker.cli.context import Styled
from worker.cli.terminal_chart import weeks_chart
from worker.domain.matching import believed_run, group
from worker.domain.models import Run, Week
from worker.domain.rules import Rules
from worker.sources.formats.tables import Logbook, read_table

MONDAY = date(2024, 1, 1)
KEYS = ["runs", "first_day", "last_day", "days", "weeks_running", "alerts", "mailed_per_year"]


def table(*extra: str, weeks: int = 12) -> str:
    """A steady history of three runs of 6 km a week, and additional rows."""
    rows = [
        f"{MONDAY + timedelta(weeks=week, days=day)}T18:00:00,6000,2160"
        for week in range(weeks)
        for day in (0, 2, 5)
    ]
    return "\n".join(["start_date_local,distance_m,moving_s", *rows, *extra]) + "\n"


JUMP = "2024-03-24T09:00:00,12000,4320"
"""Twice the longest, on the Sunday of the twelfth week."""


def kept(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "history.csv"
    path.write_text(text)
    return path


def told(tmp_path: Path, text: str, *more: str) -> dict[str, object]:
    done = easeback("backtest", kept(tmp_path, text), "--json", *more, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_a_jump_in_a_table_is_the_one_alert(tmp_path: Path) -> None:
    """The JSON has the documented keys, in metres, and nothing is left in the folder."""
    answer = told(tmp_path, table(JUMP))
    assert list(answer) == KEYS
    assert answer["runs"] == 37
    assert (answer["first_day"], answer["last_day"]) == ("2024-01-01", "2024-03-24")
    assert (answer["days"], answer["weeks_running"]) == (84, 12)
    assert answer["alerts"] == [
        {
            "day": "2024-03-24",
            "kind": "run",
            "severity": 2,
            "observed": 12000.0,
            "baseline": 6000.0,
            "ratio": 2.0,
            "mailed": True,
        },
        {
            "day": "2024-03-24",
            "kind": "ramp",
            "severity": 2,
            "observed": 30000.0,
            "baseline": 18000.0,
            "ratio": pytest.approx(5 / 3),
            "mailed": False,
        },
    ]
    assert answer["mailed_per_year"] == pytest.approx(1 / (12 / 52.18))
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_weeks_without_a_run_dont_water_the_mails_down(tmp_path: Path) -> None:
    """Half a year off adds days, but no running weeks."""
    answer = told(tmp_path, table(JUMP, "2024-09-30T18:00:00,3000,1100"))
    assert answer["weeks_running"] == 13
    assert answer["days"] == 274


def test_duplicates_are_one_run_and_the_impossible_none(tmp_path: Path) -> None:
    """A second recording of the jump, a drive and a future run change nothing."""
    answer = told(
        tmp_path,
        table(
            JUMP,
            "2024-03-24T09:00:20,12050,4300",
            "2024-03-22T09:00:00,20000,1200",
            "2999-01-01T09:00:00,30000,9000",
        ),
    )
    assert answer["runs"] == 37


def test_runs_less_than_an_hour_apart_are_one_session(tmp_path: Path) -> None:
    """A warm-up and a run are as long as both together."""
    answer = told(tmp_path, table("2024-03-24T09:00:00,4000,1400", "2024-03-24T09:40:00,8000,2900"))
    alerts = answer["alerts"]
    assert isinstance(alerts, list)
    assert alerts[0]["observed"] == 12000.0


def test_as_of_hides_what_came_later(tmp_path: Path) -> None:
    """On the day before the jump it isn't known."""
    answer = told(tmp_path, table(JUMP), "--as-of", "2024-03-23T20:00:00Z")
    assert (answer["runs"], answer["alerts"]) == (36, [])


def test_today_is_that_of_the_zone_in_which_a_table_is_read(tmp_path: Path) -> None:
    """On Saturday evening in New York it is Sunday in UTC, and Sunday's run is yet to come."""
    file, late = kept(tmp_path, table(JUMP)), ("--as-of", "2024-03-24T02:00:00Z", "--json")
    env = {"TZ": "America/New_York"}
    replayed = easeback("backtest", file, *late, cwd=tmp_path, env=env)
    assert json.loads(replayed.stdout)["last_day"] == "2024-03-23"
    planned = easeback("plan", file, *late, cwd=tmp_path, env=env)
    assert json.loads(planned.stdout)["day"] == "2024-03-23"


def test_the_rules_of_the_settings_are_those_of_the_replay(tmp_path: Path) -> None:
    """A rule with an extreme threshold never fires."""
    (tmp_path / "lax.toml").write_text(
        "[rules]\nrun_over = 3.0\nreturn_over = 3.0\nramp_over = 3.0\n"
        "severity_2_over = 4.0\nseverity_3_over = 5.0\nramp_severity_2_from = 4.0\n"
    )
    answer = told(tmp_path, table(JUMP), "--config", str(tmp_path / "lax.toml"))
    assert answer["alerts"] == []


def test_an_unpacked_account_export_may_be_named_by_its_folder(tmp_path: Path) -> None:
    """Its `activities.csv` is the history; rides in it don't count."""
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "activities.csv").write_text(
        "Activity ID,Activity Date,Activity Name,Activity Type,Elapsed Time,Distance,Distance\n"
        '1,"Oct 5, 2014, 4:15:21 PM",x,Ride,3600,20.0,20000.0\n'
        '2,"Oct 6, 2014, 4:15:21 PM",x,Run,3600,8.0,8012.5\n'
    )
    done = easeback("backtest", "export", "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert (answer["runs"], answer["first_day"]) == (1, "2014-10-06")


def test_people_get_the_chart_the_list_and_the_sum(tmp_path: Path) -> None:
    """The weeks as columns with marks, each warning in a line, and the number a year."""
    done = easeback("backtest", kept(tmp_path, table(JUMP)), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "█" in done.stdout
    assert done.stdout.count("▲") == 2  # in the chart, and in its legend
    words = " ".join(done.stdout.split())
    assert "Sun 2024-03-24 run 2 12.0 km 6.0 km 2.00 mailed" in words
    assert "1 mail in 12 running weeks" in done.stdout


def test_a_terminal_without_unicode_gets_plain_letters(tmp_path: Path) -> None:
    """The chart uses characters that the output can show."""
    done = easeback(
        "backtest", kept(tmp_path, table(JUMP)), cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "#" in done.stdout


def test_bad_rows_are_one_line_beside_the_answer(tmp_path: Path) -> None:
    """How many, and the first with its reason; the rest is replayed, and the status is 1."""
    path = kept(tmp_path, table(JUMP, "soon,5000,", "2024-03-25,far,"))
    done = easeback("backtest", path, "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["runs"] == 37
    assert done.stderr == (
        f"easeback: {path}: 2 of 39 rows can't be read and were left out; "
        "the first is line 39: start_date_local 'soon' is not a date\n"
    )


def test_a_history_without_a_run_needs_attention(tmp_path: Path) -> None:
    """Nothing could be replayed: status 1, one line, and JSON that says so."""
    done = easeback(
        "backtest", kept(tmp_path, "start_date_local,distance_m\n"), "--json", cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    answer = json.loads(done.stdout)
    assert [answer[key] for key in KEYS] == [0, None, None, 0, 0, [], 0.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", None),
        ("empty.csv", b""),
        ("columns.csv", b"day,km\n2024-01-01,5\n"),
        ("binary.csv", bytes(range(256))),
    ],
)
def test_what_is_no_history_is_wrong_usage(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    """Status 2 and one line that names the file."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = easeback("backtest", name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert name in done.stderr


def test_the_database_is_replayed_where_no_table_is_named(tmp_path: Path) -> None:
    """The named athlete's runs, and nobody else's."""
    easeback("athlete", "add", "--name", "Ida", "--email", "ida@example.org", cwd=tmp_path)
    easeback("athlete", "add", "--name", "Jo", "--email", "jo@example.org", cwd=tmp_path)
    unnamed = easeback("backtest", "--json", cwd=tmp_path)
    assert unnamed.returncode == 2
    assert "--athlete" in unnamed.stderr
    empty = easeback("backtest", "--athlete", "Ida", "--json", cwd=tmp_path)
    assert empty.returncode == 1
    assert json.loads(empty.stdout)["runs"] == 0


def test_a_table_costs_no_database(tmp_path: Path) -> None:
    """Neither SQLAlchemy nor templates are loaded, and no data folder is made."""
    path = kept(tmp_path, table(JUMP))
    done = easeback("backtest", path, "--json", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "worker.domain.detector" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "jinja2", "apscheduler", "requests", "worker.store"})


def test_live_counts_by_the_athletes_weeks() -> None:
    """A Sunday and the Monday after it are in one week if weeks start on Sunday."""
    days = (date(2024, 1, 7), date(2024, 1, 8))
    runs = [
        Run(n, datetime(day.year, day.month, day.day, 9, tzinfo=UTC), day, 5000.0)
        for n, day in enumerate(days)
    ]
    assert replay_runs(runs, rules=Rules(), week_starts=0).weeks_running == 2
    assert replay_runs(runs, rules=Rules(), week_starts=6).weeks_running == 1


def weeks_of(*km: float, start: date = MONDAY) -> list[Week]:
    return [
        Week(start + timedelta(weeks=n), metres * 1000, int(metres > 0), metres * 1000, 0.0)
        for n, metres in enumerate(km)
    ]


def lines(chart: Styled) -> list[str]:
    return "".join(text for text, _ in chart).splitlines()


def test_the_picture_rises_with_the_kilometres() -> None:
    """No bar for no run, a visible one for the least, the full height for the most."""
    drawn = lines(weeks_chart(weeks_of(0, 0.1, 24, 48), [], units="km", columns=80))
    top, bottom = drawn[0], drawn[5]
    assert top.startswith("   48 km │")
    assert top.split("│")[1] == "         ██ "
    assert bottom.split("│")[1] == "   ▁▁ ██ ██ "


def test_a_mark_stands_below_its_week() -> None:
    """One that was mailed and one that wasn't; of two in a week the mailed one is shown."""
    marks = [
        (MONDAY + timedelta(days=6), False),
        (MONDAY + timedelta(days=8), False),
        (MONDAY + timedelta(days=9), True),
    ]
    drawn = lines(weeks_chart(weeks_of(5, 6, 7), marks, units="km", columns=80))
    assert drawn[7] == " " * 10 + "△  ▲     "


def test_a_long_history_is_a_strip_a_year() -> None:
    """Each year begins at its own week."""
    drawn = lines(weeks_chart(weeks_of(*[20.0] * 150), [], units="mi", columns=80))
    assert [line.split()[0] for line in drawn if line.split("│")[0].strip().isdigit()] == [
        "2024",
        "2025",
        "2026",
    ]


@pytest.mark.parametrize("columns", [38, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    """A narrow one gets half years; no week is lost."""
    drawn = lines(weeks_chart(weeks_of(*[20.0] * 150), [], units="km", columns=columns))
    assert max(map(len, drawn)) <= columns
    bars = [line.split("│")[1].split() for line in drawn if "20 km" in line]
    width = len(bars[0][0]) if len(bars[0]) > 1 else 1
    assert sum(len("".join(strip)) for strip in bars) == 150 * width


def test_twice_the_years_are_twice_the_work() -> None:
    """From reading the table to the answer: no day looks at the whole history before it."""

    def work(years: int) -> int:
        rows = [
            f"{date(2014, 1, 6) + timedelta(days=round(n * 365 / 300))}T{6 + n % 12:02}:00:00,"
            f"{5000 + n * 37 % 9000},2400"
            for n in range(300 * years)
        ]
        content = "\n".join(["start_date_local,distance_m,moving_s", *rows]).encode()
        return calls_of(partial(_replayed, content)).total()

    assert work(8) < 2.2 * work(4)


def _replayed(content: bytes) -> None:
    book = read_table(content, zone=ZoneInfo("UTC"))
    assert isinstance(book, Logbook)
    runs = [believed_run(bundle, run_id=n) for n, bundle in enumerate(group(book.recordings), 1)]
    assert replay_runs(runs, rules=Rules()).runs == len(runs)
