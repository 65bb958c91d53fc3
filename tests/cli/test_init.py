"""The guided set-up at a terminal: answered, mistyped, interrupted, repeated."""

import stat
import tomllib
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.command import easeback
from tests.terminal import CTRL_C, Conversation, converse
from worker.cli.context import UsageError
from worker.cli.settings_file import with_answers
from worker.domain.models import Athlete, Race
from worker.store import Store

STORY = [
    ("keep its data?", ""),
    ("The runner's name", "Anna"),
    ("E-mail", "anna@example.org"),
    ("Language", "de"),
    ("Time zone", "Europe/Vienna"),
    ("Units", ""),
    ("Where does it hurt", "buttock, knee"),
    ("A race they train for", "Spring half"),
    ("On which day", "2099-05-10"),
    ("How long, in km", "21,1"),
    ("Mail server", "mail.example.org"),
    ("Its security", "tls"),
    ("Its port", ""),
    ("Login", "me@example.org"),
    ("Password", "correct horse"),
    ("Sender", ""),
    ("How are the pages reached", "https://easeback.example.org"),
    ("Which", ""),
]
"""All questions, with the answers of Anna's operator."""


def settings(home: Path) -> dict[str, Any]:
    return tomllib.loads((home / "config" / "easeback.toml").read_text("utf-8"))


def athletes(home: Path) -> tuple[Athlete, ...]:
    url = f"sqlite:///{home / 'data' / 'easeback.db'}"
    with closing(Store.open(url)) as store, store.reading() as tx:
        return tx.athletes.all()


def answering(*changed: tuple[str, str]) -> list[tuple[str, str]]:
    """The story with other answers, or with wrong answers before the right one."""
    told = list(STORY)
    for question, answer in reversed(changed):
        at = next(n for n, one in enumerate(told) if one[0] == question)
        told.insert(at, (question, answer))
    return told


def guided(home: Path, answers: Sequence[tuple[str, str]], **env: str) -> Conversation:
    return converse("init", cwd=home, answers=answers, env={"TZ": "Europe/Berlin", **env})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Conversation]:
    home = tmp_path_factory.mktemp("told")
    return home, guided(home, STORY)


def test_a_newcomer_is_led_to_a_set_up_that_stands(told: tuple[Path, Conversation]) -> None:
    """File, athlete and first mail are there; the last line gives the next step."""
    home, talk = told
    written = settings(home)
    assert written["data_dir"] == str(home / "data")
    assert written["base_url"] == "https://easeback.example.org"
    assert written["mail"] == {
        "host": "mail.example.org", "security": "tls", "port": 465, "username": "me@example.org",
        "password": "correct horse", "sender": "Easeback <me@example.org>", "language": "de",
    }  # fmt: skip
    [anna] = athletes(home)
    assert (anna.name, anna.email, anna.timezone) == ("Anna", "anna@example.org", "Europe/Vienna")
    assert anna.pain == ("buttock", "knee")
    assert anna.race == Race("Spring half", date(2099, 5, 10), 21_100)
    outbox = easeback("outbox", "list", cwd=home)
    assert "notice" in outbox.stdout
    assert f"next: easeback run, and put the files of your runs into {home}" in talk.shown


def test_a_password_is_shown_nowhere_and_read_by_nobody_else(
    told: tuple[Path, Conversation],
) -> None:
    home, talk = told
    assert "correct horse" not in talk.shown
    assert stat.S_IMODE((home / "config" / "easeback.toml").stat().st_mode) == 0o600
    assert list((home / "config").iterdir()) == [home / "config" / "easeback.toml"]


def test_the_machine_proposes_zone_language_and_units(tmp_path: Path) -> None:
    """Enter accepts them."""
    plain = [(question, "") for question, _ in STORY[:10]]
    answers = [
        plain[0], ("The runner's name", "Anna"), ("E-mail", "a@example.org"), *plain[3:8],
        ("Mail server", ""), ("How are", ""), ("Which", ""),
    ]  # fmt: skip
    talk = guided(tmp_path, answers, LANG="fr_FR.UTF-8")
    assert "[Europe/Berlin]" in talk.shown
    assert settings(tmp_path)["mail"] == {"language": "fr"}
    [anna] = athletes(tmp_path)
    assert (anna.timezone, anna.units, anna.pain, anna.race) == ("Europe/Berlin", "km", (), None)


WRONG = [
    ("keep its data?", "taken/data", "is a file, not a folder"),
    ("The runner's name", "../anna", "no slash"),
    ("E-mail", "anna", "“anna” is not an address such as anna@example.org"),
    ("Language", "klingon", "one of de, en, fr, please"),
    ("Time zone", "Berlin", "the nearest is"),
    ("Units", "leagues", "neither km nor mi"),
    ("Where does it hurt", "elbow", "'elbow' is none of"),
    ("On which day", "tomorrow", "is not a date such as"),
    ("On which day", "2001-01-01", "2001-01-01 has passed"),
    ("How long, in km", "far", "'far' is not the length of a race"),
    ("Mail server", "me@mail.example.org", "write a name or an address alone"),
    ("Its security", "ssl", "one of starttls, tls, none, please"),
    ("Its port", "many", "'many' is not a port"),
    ("Sender", "me", "write an address such as"),
    ("How are the pages reached", "easeback.example.org", "must begin with http:// or https://"),
    ("Which", "polar", "folder, garmin, intervals, strava, or several of them, please"),
]


def test_a_wrong_answer_gets_one_clear_line_and_is_asked_again(tmp_path: Path) -> None:
    """Each question in its place; the final, right answer is stored."""
    (tmp_path / "taken").write_text("a file")
    talk = guided(tmp_path, answering(*((question, answer) for question, answer, _ in WRONG)))
    for question, answer, why in WRONG:
        [line] = [line for line in talk.shown.splitlines() if why in line]
        assert line.startswith("  "), (question, answer)
    assert "Traceback" not in talk.shown
    [anna] = athletes(tmp_path)
    assert anna.email == "anna@example.org"
    assert settings(tmp_path)["mail"]["port"] == 465


@pytest.mark.parametrize("stop_at", range(len(STORY)), ids=[question for question, _ in STORY])
def test_stopping_at_any_question_leaves_nothing_half_written(tmp_path: Path, stop_at: int) -> None:
    """One line says so, the terminal is restored, and there's no file and no folder."""
    talk = guided(tmp_path, [*STORY[:stop_at], (STORY[stop_at][0], CTRL_C)])
    assert talk.status == 1
    assert talk.shown.rstrip().splitlines()[-1] == "easeback: stopped; nothing was written"
    assert list(tmp_path.iterdir()) == []


def test_stopping_a_second_run_leaves_what_is_there(told: tuple[Path, Conversation]) -> None:
    home, _ = told
    file = home / "config" / "easeback.toml"
    before, who = file.read_bytes(), athletes(home)
    talk = guided(home, [("keep its data?", ""), ("The runner's name", "Eve"), ("E-mail", CTRL_C)])
    assert talk.status == 1
    assert (file.read_bytes(), athletes(home)) == (before, who)


def test_a_second_run_proposes_what_is_there_and_changes_what_is_answered(
    tmp_path: Path,
) -> None:
    """Other settings and comments are unchanged, and so is the password."""
    guided(tmp_path, STORY)
    file = tmp_path / "config" / "easeback.toml"
    mine = file.read_text().replace('# every = "5 s"', 'every = "7 s"  # of mine')
    file.write_text(f"{mine}\n# my own last words\n")
    again = [
        ("keep its data?", ""), ("The runner's name", ""), ("E-mail", "new@example.org"),
        ("Language", ""), ("Time zone", ""), ("Units", "mi"), ("Where does it hurt", "none"),
        ("A race they train for", "none"), ("Mail server", ""), ("Its security", "starttls"),
        ("Its port", "587"), ("Login", ""), ("Password", ""), ("Sender", ""),
        ("How are the pages reached", ""), ("Which", ""),
    ]  # fmt: skip
    talk = guided(tmp_path, again)
    for proposed in ("[Anna]", "[anna@example.org]", "[de]", "[Europe/Vienna]", "[buttock,knee]",
                     "[Spring half]", "[mail.example.org]", "[me@example.org]"):  # fmt: skip
        assert proposed in talk.shown
    [anna] = athletes(tmp_path)
    assert (anna.email, anna.units, anna.pain, anna.race) == ("new@example.org", "mi", (), None)
    lines = [
        line
        for line in mine.splitlines()
        if not line.startswith(('security = "tls"', "port = 465"))
    ]
    after = file.read_text().splitlines()
    assert [line for line in lines if line not in after] == []
    assert "# my own last words" in after
    assert settings(tmp_path)["mail"]["password"] == "correct horse"
    assert settings(tmp_path)["mail"]["security"] == "starttls"


def test_a_second_run_can_take_the_mail_server_out(told: tuple[Path, Conversation]) -> None:
    home, _ = told
    again = [(question, "") for question, _ in STORY[:10]]
    talk = guided(home, [*again, ("Mail server", "none"), ("How are", ""), ("Which", "")])
    assert "host" not in settings(home)["mail"]
    assert talk.status == 0, talk.shown


def test_without_a_terminal_options_are_the_answers(tmp_path: Path) -> None:
    """It never waits for an answer to an invisible question."""
    done = easeback("init", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no terminal" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = easeback(
        "init", "--name", "Anna", "--email", "a@example.org", "--language", "de", "--pain", "knee",
        "--race", "Half", "--race-date", "2099-05-10", "--race-km", "21.1",
        "--base-url", "https://e.example.org", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("next: easeback run")
    [anna] = athletes(tmp_path)
    assert (anna.pain, anna.race) == (("knee",), Race("Half", date(2099, 5, 10), 21_100))
    assert settings(tmp_path)["base_url"] == "https://e.example.org"
    assert settings(tmp_path)["mail"] == {"language": "de"}


def test_without_a_terminal_the_lines_of_the_input_are_the_answers(tmp_path: Path) -> None:
    """In the order of the questions; an empty line accepts the default."""
    lines = ["", "Anna", "anna@example.org", "de", "Europe/Berlin", "", "knee", "none"]
    answers = "\n".join([*lines, "none", "", "folder", ""])
    done = easeback("init", cwd=tmp_path, given=answers)
    assert done.returncode == 0, done.stderr
    [anna] = athletes(tmp_path)
    assert (anna.name, anna.timezone, anna.pain) == ("Anna", "Europe/Berlin", ("knee",))
    assert settings(tmp_path)["mail"] == {"language": "de"}


@pytest.mark.parametrize("lines", ["\nAnna\n", "\nAnna\nnot an address\n"])
def test_input_that_ends_early_or_is_wrong_writes_nothing(tmp_path: Path, lines: str) -> None:
    """One line says what is missing."""
    done = easeback("init", cwd=tmp_path, given=lines)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--name", "Anna"), "--email: “” is not an address"),
        (("--name", "a/b"), "--name: a name is a folder's too"),
        (("--language", "xx"), "--language: one of de, en, fr, please"),
        (("--base-url", "nowhere"), "--base-url: must begin with http"),
        (("--data-dir", "x" * 300), "--data-dir: /"),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_written(
    tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    done = easeback("init", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"easeback: {why}")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    """A file is in the folder's place."""
    (tmp_path / "config").write_text("")
    done = easeback("init", "--language", "de", cwd=tmp_path)
    assert done.returncode == 1
    assert "can't be written" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["a folder", "no text"])
def test_a_settings_file_that_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    """And stays as it is."""
    file = tmp_path / "mine.toml"
    file.write_bytes(content) if content else file.mkdir()
    done = easeback("--config", file, "init", "--defaults", "--force", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"easeback: {file}: can't be read: ")
    assert list(tmp_path.iterdir()) == [file]


FILE = Path("easeback.toml")
OWN = """# mine
data_dir = "old"  # here
[mail] # the server
host = "a"
# port = 587
[web]
port = 1
"""


def test_an_answer_takes_the_place_of_its_line_or_of_the_commented_one() -> None:
    changed = with_answers(
        OWN, {"": {"data_dir": "new"}, "mail": {"port": 25, "sender": 'a "b" <c@d>'}}, FILE
    )
    assert changed == OWN.replace('"old"  # here', '"new"').replace(
        "# port = 587", "port = 25"
    ).replace("[mail] # the server\n", '[mail] # the server\nsender = "a \\"b\\" <c@d>"\n')


def test_what_is_taken_out_stays_as_a_comment_and_a_new_section_comes_last() -> None:
    changed = with_answers(OWN, {"mail": {"host": None}, "strava": {"client_id": "1"}}, FILE)
    assert '# host = "a"\n' in changed
    assert changed.endswith('port = 1\n\n[strava]\nclient_id = "1"\n')


@pytest.mark.parametrize(
    "own", ['mail = {host = "a"}\n', 'mail.host = "a"\n', '[mail]\nhost = """\na"""\n']
)
def test_a_file_that_is_written_otherwise_is_left_to_its_owner(own: str) -> None:
    """Instead of being damaged."""
    with pytest.raises(UsageError, match="by hand"):
        with_answers(own, {"mail": {"host": "b"}}, FILE)
