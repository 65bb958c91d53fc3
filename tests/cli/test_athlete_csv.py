"""Athletes added from a CSV file: all or none, with the errors of each line."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.command import easeback


def add(folder: Path, text: str | bytes, *more: str) -> CompletedProcess[str]:
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "people.csv").write_bytes(content)
    return easeback("athlete", "add", "--csv", "people.csv", *more, cwd=folder)


def listed(folder: Path) -> list[dict[str, object]]:
    done = easeback("athlete", "list", "--json", cwd=folder)
    found: list[dict[str, object]] = json.loads(done.stdout) if done.returncode == 0 else []
    return found


def mails(folder: Path) -> int:
    assert easeback("once", cwd=folder).returncode == 0
    return len(list((folder / "data" / "mailbox").glob("*.eml")))


PEOPLE = """\
Name,E-Mail,timezone,language,pain,race,race-date,race_km
Anna Berger,anna@example.org,Europe/Paris,fr,"buttock, low_back",Half,2027-05-09,21.1
,,,,,,,
Ben Carter,ben@example.org
""".replace("E-Mail", "email")


def test_everybody_in_the_file_is_added_and_none_is_mailed(tmp_path: Path) -> None:
    """Empty lines and cells are ignored; an option is the default for the others."""
    done = add(tmp_path, PEOPLE, "--timezone", "Europe/Berlin", "--units", "mi")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "added 2 athletes\n"
    anna, ben = listed(tmp_path)
    assert (anna["name"], anna["timezone"], anna["language"]) == (
        "Anna Berger", "Europe/Paris", "fr",
    )  # fmt: skip
    assert anna["pain"] == ["buttock", "low_back"]
    assert anna["race"] == {"name": "Half", "date": "2027-05-09", "km": 21.1}
    assert (ben["timezone"], ben["units"], ben["race"]) == ("Europe/Berlin", "mi", None)
    assert mails(tmp_path) == 0


def test_each_is_invited_where_that_is_asked(tmp_path: Path) -> None:
    done = add(tmp_path, PEOPLE, "--invite")
    assert "the first mail goes to each" in done.stdout
    assert mails(tmp_path) == 2


def test_a_spreadsheets_way_is_understood(tmp_path: Path) -> None:
    """A byte order mark, semicolons, a decimal comma, empty columns at the end."""
    header = "\ufeffname;email;pain;race;race_date;race_km;;\r\n"
    text = header + "Zoë;z@example.org;knee,calf;Half;2027-05-09;21,1;;\r\n"
    done = add(tmp_path, text, "--json")
    assert done.returncode == 0, done.stderr
    (zoe,) = json.loads(done.stdout)["added"]
    assert (zoe["name"], zoe["pain"], zoe["race"]["km"]) == ("Zoë", ["knee", "calf"], 21.1)


BAD = """\
name,email,timezone,race_km
Anna,anna@example.org,Europe/Berlin,
Ben,ben,Berlin,
,cem@example.org,,
anna,other@example.org,,
Dora,dora@example.org,,21.1
Eva,eva@example.org,,far
Finn,finn@example.org,,,extra
"""


def test_one_bad_line_adds_nobody_and_each_is_said_with_its_number(tmp_path: Path) -> None:
    """All bad lines with all their errors, one line each; also as JSON."""
    done = add(tmp_path, BAD)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == [
        "line 3", "line 4", "line 5", "line 6", "line 7", "line 8",
    ]  # fmt: skip
    assert "email: “ben” is not an address" in lines[0]
    assert "timezone: 'Berlin' is not a time zone; the nearest is" in lines[0]
    assert "name: it's empty" in lines[1]
    assert "name: anna stands on line 2 already" in lines[2]
    assert "a race needs all of" in lines[3]
    assert "race_km: 'far' is not a number of kilometres" in lines[4]
    assert "it has 5 cells, and the header names 4 columns" in lines[5]
    assert "nobody was added: mend 6 lines of people.csv" in lines[-1]
    assert listed(tmp_path) == []
    told = json.loads(add(tmp_path, BAD, "--json").stdout)
    assert told["added"] == []
    assert [one["line"] for one in told["problems"]] == [3, 4, 5, 6, 7, 8]


def test_who_is_there_already_is_not_added_again(tmp_path: Path) -> None:
    """Nor anybody else in the file: importing it twice changes nothing."""
    assert add(tmp_path, PEOPLE).returncode == 0
    done = add(tmp_path, PEOPLE)
    assert done.returncode == 2
    assert "line 2: name: there is an athlete called Anna Berger already" in done.stderr
    assert len(listed(tmp_path)) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name,mail\nAnna,a@example.org\n",
            "line 1: no column is called 'mail'; did you mean 'email'?",
        ),
        ("name\nAnna\n", "line 1: there is no column email"),
        ("name,email,name\n", "line 1: the column 'name' stands there twice"),
        ("", "line 1: there is no column name and no email"),
        ("name,email\n", "there is no athlete below the header"),
        ("name,email\nZoë,z@example.org\n".encode("utf-16"), "isn't text in UTF-8"),
        ('name,email\n"Anna\0,a', "line 2"),
        ("name,email\nAnna\x0bB,a@example.org\n", "line 2: name: a name has 1 to 80 characters"),
    ],
)
def test_a_file_that_can_not_be_used_is_one_clear_line(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    done = add(tmp_path, text)
    assert done.returncode == 2
    assert said in done.stderr
    assert listed(tmp_path) == []


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    """The file has the names; without one an athlete needs a name and an address."""
    assert "--csv: names" in add(tmp_path, PEOPLE, "--name", "Anna").stderr
    alone = easeback("athlete", "add", "--name", "Anna", cwd=tmp_path)
    assert (alone.returncode, "--email is missing" in alone.stderr) == (2, True)
    odd = easeback(
        "athlete", "add", "--name", "A", "--email", "a@example.org", "--invite", cwd=tmp_path
    )
    assert (odd.returncode, "go with --csv" in odd.stderr) == (2, True)
    gone = easeback("athlete", "add", "--csv", "none.csv", cwd=tmp_path)
    assert (gone.returncode, "can't be read" in gone.stderr) == (2, True)
