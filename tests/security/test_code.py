"""What the code never does: no shell, no eval, no unsafe formats, no weak digests."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.command import ROOT

FILES = sorted((ROOT / "worker").rglob("*.py"))
UNSAFE_MODULES = {
    "pickle", "marshal", "shelve", "dill", "yaml", "xmlrpc", "telnetlib", "ftplib", "pty",
    "commands", "imp", "code", "codeop",
}  # fmt: skip
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execve",
    "os.spawnl", "tempfile.mktemp", "hashlib.md5", "hashlib.sha1", "hashlib.new",
    "ssl._create_unverified_context", "jinja2.Template",
}  # fmt: skip
UNSAFE_NAMES = {"CERT_NONE", "_create_unverified_context", "from_string", "disable_warnings"}
ONLY_IN = {
    "subprocess": {"cli/browser.py", "sources/formats/child.py"},
    # Spreads athletes over time; nothing secret depends on it.
    "random": {"pipeline/services.py"},
    "smtplib": {"mail/smtp.py", "mail/dialogue.py"},
    "cryptography": {"store/encryption.py"},
}
RAW_SQL = {"exec_driver_sql", "text"}


@cache
def each_node() -> tuple[tuple[str, ast.AST], ...]:
    return tuple(
        (file.relative_to(ROOT / "worker").as_posix(), node)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
    )


def imports() -> Iterator[tuple[str, str]]:
    """File and top-level module of each import."""
    for name, node in each_node():
        if isinstance(node, ast.Import):
            yield from ((name, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield name, node.module.partition(".")[0]


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File and dotted name of each call."""
    for name, node in each_node():
        if isinstance(node, ast.Call):
            yield name, ast.unparse(node.func), node


def test_no_unsafe_format_is_ever_read() -> None:
    """Pickle and similar formats run code when read."""
    found = {(file, module) for file, module in imports() if module in UNSAFE_MODULES}
    assert not found


def test_nothing_is_run_that_was_text() -> None:
    """Neither by Python nor by a shell; `re.compile` is allowed."""
    assert not {(file, call) for file, call, _ in calls() if call in UNSAFE_CALLS}
    for file, call, node in calls():
        for keyword in node.keywords:
            if keyword.arg == "shell":
                pytest.fail(f"{file}: {call} with a shell")


@pytest.mark.parametrize("module", ONLY_IN)
def test_what_is_delicate_stands_in_one_place(module: str) -> None:
    """Where it can be reviewed."""
    assert {file for file, imported in imports() if imported == module} == ONLY_IN[module]


def test_no_check_of_a_certificate_is_switched_off() -> None:
    """Neither by name nor by `verify=False`."""
    for file, node in each_node():
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            assert name not in UNSAFE_NAMES, file
    for file, call, node in calls():
        for keyword in node.keywords:
            if keyword.arg in ("verify", "check_hostname"):
                is_off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                assert not is_off, (file, call)


def test_no_statement_is_put_together_from_text() -> None:
    """SQLAlchemy builds the SQL; textual SQL contains no external input."""
    for file, call, node in calls():
        if call.rpartition(".")[2] in RAW_SQL and node.args and file.startswith("store/"):
            assert isinstance(node.args[0], ast.Constant | ast.Name | ast.IfExp), (
                file, ast.unparse(node)
            )  # fmt: skip
    assert not [file for file, module in imports() if module == "sqlite3" and "store" not in file]


def test_every_secret_of_the_settings_is_kept_from_being_printed() -> None:
    """By its type; a secret added without it fails here."""
    from pydantic import BaseModel

    from worker.config import Settings

    telling = ("password", "secret", "token")
    for name, field in Settings.model_fields.items():
        section = field.annotation
        inner = {}
        if isinstance(section, type) and issubclass(section, BaseModel):
            inner = section.model_fields
        for key, kind in ({name: field} | inner).items():
            if any(word in key for word in telling):
                assert "SecretStr" in str(kind.annotation), key


def test_no_secret_lies_in_the_repository() -> None:
    """No key, certificate or environment file among git's files."""
    forbidden = (".pem", ".key", ".p12", ".env", ".db", "id_rsa", "id_ed25519")
    folders = [
        ROOT / name
        for name in ("worker", "config", "docs", "scripts", "bench", "simulators", "tests")
    ]
    for folder in folders:
        for path in folder.rglob("*"):
            assert not path.name.endswith(forbidden), path


def test_the_files_looked_at_are_all_there_are() -> None:
    """The test above can't pass by reading nothing."""
    assert len(FILES) > 100
    assert ROOT / "worker" / "web" / "limits.py" in FILES
    assert isinstance(ROOT, Path)
