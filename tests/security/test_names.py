"""A stranger's name has no effect where it's shown; programs get it unchanged."""

import ast
import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.app import run_file
from tests.command import ROOT, easeback
from worker.domain.shown import printable, printable_json
from worker.notify.render import TemplateLoader

EVIL = "evil\x1b[2J\x9b31m\u202egnp\u2028x\nforged: all well\x7f\U000e0041"
FILE = f"{EVIL}.fit"
ACTS = set("\x1b\x9b\u202e\u2028\n\x7f\U000e0041")

# Every place in `worker/cli` that writes for people, by module and function. A new one belongs
# here, and must pass names through `printable` or show none.
WRITES = {
    "app.py:_print_version": "shows no name",
    "app.py:run_command_line": "words of `_words_and_status`, which cleans them",
    "athletes.py:_add_from_csv": "lines of the file that cannot be used, cleaned",
    "athletes.py:relink": "an address that we made",
    "connect.py:_connect_with_key": "what the service is called",
    "connect.py:_connect_by_consent": "an address that we made",
    "context.py:print_json": "cleans",
    "context.py:print_table": "cleans",
    "context.py:print_styled": "figures",
    "context.py:say": "cleans",
    "init.py": "shows what the operator just typed",
    "questions.py:say": "cleans",
    "open_page.py:open_page": "an address that we made",
    "plan.py:show_plan": "a calendar, which names nobody",
    "progress.py:advance": "counts",
    "therapists.py:_print_link": "an address that we made",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An athlete, with strangers' names wherever possible."""
    easeback("athlete", "add", "--name", "Anna", "--email", "anna@example.org", cwd=tmp_path)
    inbox = tmp_path / "data" / "inbox"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(FILE, b"xx")
        archive.writestr("good.fit", run_file(8))
    for folder in (inbox, tmp_path / "export"):
        (folder / EVIL).mkdir(parents=True)
        (folder / EVIL / "run.fit").write_bytes(b"xx")
        (folder / FILE).write_bytes(b"xx")
        (folder / "all.zip").write_bytes(content.getvalue())
    return tmp_path


def assert_harmless(text: str, what: object) -> None:
    """It moves no cursor, changes no direction, and starts no new line."""
    assert not ACTS & set(text) - {"\n"}, (what, text)
    assert not [line for line in text.splitlines() if line.startswith("forged")], (what, text)


def test_no_command_shows_a_name_that_acts(home: Path) -> None:
    """Nor do the log, the list of failures and the mails; JSON has the names themselves."""
    as_of = ("--as-of", "2026-11-20T18:00:00Z")
    commands = (
        ("--verbose", "once", *as_of), ("--verbose", "once", *as_of),
        ("once", "--json", *as_of),
        ("--verbose", "import", str(home / "export")),
        ("import", "--json", str(home / "export")),
        ("import", str(home / "export" / FILE)),
        ("import", str(home / "export" / "nothing") + EVIL),
        ("status",), ("status", "--json"), ("runs",), ("runs", "--json"), ("alerts",),
        ("explain", EVIL), ("explain", "--athlete", EVIL), ("doctor",), ("outbox", "list"),
        ("preview", "weekly", "--no-open"), ("ceiling",), ("athlete", "list"), (EVIL,),
    )  # fmt: skip
    told: dict[tuple[str, ...], str] = {}
    for command in commands:
        done = easeback(*command, cwd=home)
        assert_harmless(done.stdout + done.stderr, command)
        told[command] = done.stdout
    written = (home / "data" / "import-failures.txt").read_text("utf-8")
    assert_harmless(written, "import-failures.txt")
    assert r"evil\x1b[2J\x9b31m\u202egnp\u2028x\nforged" in told["status",]
    failed = json.loads(told["status", "--json"])["inbox"]["failed"]
    assert f"all.zip/{FILE}" in [entry["file"] for entry in failed]
    failed = json.loads(told["import", "--json", str(home / "export")])["failed"]
    assert str(home / "export" / FILE) in [entry["file"] for entry in failed]


def test_no_template_shows_a_name_that_acts() -> None:
    """In mails and pages: every expression passes through the cleaner."""
    loader = TemplateLoader()
    for environment in (loader._text, loader.markup):
        rendered = environment.from_string("{{ name }}").render(name=EVIL)
        assert not ACTS & set(rendered) - {"\n"}


def test_every_place_that_writes_is_listed() -> None:
    """So that nobody bypasses the cleaner."""
    writing = (
        "print", "typer.echo", "typer.secho", "console.print", "self.console.print",
        "sys.stdout.write", "sys.stderr.write",
    )  # fmt: skip
    found = set()
    for path in (ROOT / "worker" / "cli").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(
                isinstance(call, ast.Call) and ast.unparse(call.func) in writing
                for call in ast.walk(function)
            ):
                found.add(path.name if path.name == "init.py" else f"{path.name}:{function.name}")
    assert found == set(WRITES)


def test_what_acts_is_written_out_and_all_else_stays() -> None:
    """Letters of every script, multi-person emoji and macOS's narrow spaces stay."""
    family = "👨\u200d👩\u200d👧 5 km"
    for text in ("Zoë Öz", "東京 マラソン", family, "no\u00a0break\u202fspace", "„quoted“"):
        assert printable(text) == printable_json(text) == text
    assert printable("a\x1b\n\u202e\udce9") == r"a\x1b\n\u202e\udce9"
    assert json.loads(printable_json(json.dumps(EVIL, ensure_ascii=False))) == EVIL
