"""A stranger's folder: modules with the names of our imports, which report when they're run."""

from pathlib import Path

LIBRARIES = (
    "alembic", "apscheduler", "css_inline", "cryptography", "fastcrc", "fitparse", "itsdangerous",
    "jinja2", "lxml", "PIL", "platformdirs", "psycopg", "pydantic", "requests", "rich",
    "sqlalchemy", "starlette", "stravalib", "typer", "tzlocal", "tzdata", "urllib3", "uvicorn",
)  # fmt: skip
LATER = ("json", "selectors", "sqlite3", "tomllib", "webbrowser", "zipfile", "zoneinfo")
"""Modules of the standard library that Python hasn't loaded when our first line runs."""


def trap(file: Path, canary: Path) -> None:
    """Write a module that reports that it was run, and has no other visible effect."""
    name = file.name if file.name != "__init__.py" else f"{file.parent.name}/{file.name}"
    line = f"open({str(canary)!r}, 'a').write({name!r} + '\\n')\n"
    file.write_text(line)


def lay_traps(folder: Path, canary: Path) -> None:
    """Write modules and packages with other packages' names."""
    for name in (*LATER, *LIBRARIES):
        trap(folder / f"{name}.py", canary)
    for name in ("fitparse", "sqlalchemy", "json"):
        (folder / name).mkdir()
        trap(folder / name / "__init__.py", canary)


def shadow_of_ours(folder: Path, canary: Path) -> None:
    """Write a package with our own name."""
    (folder / "worker").mkdir()
    for name in ("__init__.py", "__main__.py", "cli.py"):
        trap(folder / "worker" / name, canary)


def ran(canary: Path) -> list[str]:
    """The names of the stranger's modules that were run."""
    return canary.read_text().split() if canary.exists() else []
