"""A stranger's folder: modules of the names that we import lie there, and tell when they're run."""

from pathlib import Path

LIBRARIES = (
    "alembic", "apscheduler", "css_inline", "cryptography", "fastcrc", "fitparse", "itsdangerous",
    "jinja2", "lxml", "PIL", "platformdirs", "psycopg", "pydantic", "requests", "rich",
    "sqlalchemy", "starlette", "stravalib", "typer", "tzlocal", "tzdata", "urllib3", "uvicorn",
)  # fmt: skip
LATER = ("json", "selectors", "sqlite3", "tomllib", "webbrowser", "zipfile", "zoneinfo")
"""Of the standard library, what Python hasn't needed yet when our first line runs."""


def trap(file: Path, canary: Path) -> None:
    """A module that tells it was run, and does nothing else that would be noticed."""
    name = file.name if file.name != "__init__.py" else f"{file.parent.name}/{file.name}"
    line = f"open({str(canary)!r}, 'a').write({name!r} + '\\n')\n"
    file.write_text(line)


def lay_traps(folder: Path, canary: Path) -> None:
    """Modules and packages of the names of others."""
    for name in (*LATER, *LIBRARIES):
        trap(folder / f"{name}.py", canary)
    for name in ("fitparse", "sqlalchemy", "json"):
        (folder / name).mkdir()
        trap(folder / name / "__init__.py", canary)


def shadow_of_ours(folder: Path, canary: Path) -> None:
    """A package called as ours."""
    (folder / "worker").mkdir()
    for name in ("__init__.py", "__main__.py", "cli.py"):
        trap(folder / "worker" / name, canary)


def ran(canary: Path) -> list[str]:
    """The names of what of the stranger's was run."""
    return canary.read_text().split() if canary.exists() else []
