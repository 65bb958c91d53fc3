"""The command `demo`: a made-up season played through the real worker, and what came of it."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.browser import show
from worker.cli.care import NoOpenOption
from worker.cli.reports import far
from worker.cli.shell import Shell, UsageError, shell_of

if TYPE_CHECKING:
    from worker.demo import Moment, Scene, Season
    from worker.demo.page import Letter

_FOLDER = Path("demo")


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where it is played and left.")
    ] = _FOLDER,
    no_open: NoOpenOption = False,
) -> None:
    """Play a runner's season through, from watch file to mail; needs no set-up and no network."""
    from worker.demo import Scene, SceneError, play
    from worker.demo.page import put_out

    shell = shell_of(context)
    try:
        scene = Scene.set_up(folder)
    except SceneError as error:
        raise UsageError(str(error)) from error
    with _watching(shell) as watch:
        season = play(scene, watch=watch)
    letters = put_out(scene, season)
    _show(shell, scene, season, letters)
    if not no_open:
        show(scene.page.as_uri())


@contextmanager
def _watching(shell: Shell) -> "Iterator[Callable[[Moment], None]]":
    """How far it is: a bar on a terminal, elsewhere a line for each alert."""
    if not sys.stderr.isatty():
        yield lambda moment: _say_moment(shell, moment)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[mails]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("last year's files", total=None, mails="")
        sent = 0

        def watch(moment: "Moment") -> None:
            nonlocal sent
            sent += moment.mails
            progress.update(
                task,
                description=f"{moment.day:%d %b %Y}",
                completed=moment.done,
                total=moment.total,
                mails=f"{sent} mail{'' if sent == 1 else 's'}",
            )

        yield watch


def _say_moment(shell: Shell, moment: "Moment") -> None:
    if moment.ran_m is not None and moment.mails:
        shell.say(f"{moment.day:%a} {moment.day}: ran {far(moment.ran_m, 'km')}, alert mailed")


def _show(shell: Shell, scene: "Scene", season: "Season", letters: "Sequence[Letter]") -> None:
    from worker.cli.picture import Mark, picture

    who = season.athlete
    marks = [Mark(one.finding.day, one.told_on is not None) for one in season.found]
    columns, encoding = shell.out.width, shell.out.encoding
    shell.say(f"{who.name}, made up: {season.runs} runs in {len(season.weeks)} weeks, km a week")
    shell.say()
    chart = picture(season.weeks, marks, units=who.units, columns=columns, encoding=encoding)
    shell.out.print(chart, no_wrap=True, crop=False)
    shell.say()
    for one in season.found:
        found = one.finding
        if one.told_on is not None:
            shell.say(
                f"{found.day:%a} {found.day}  {found.kind}: {far(found.observed_m, who.units)} "
                f"after {far(found.baseline_m, who.units)}"
            )
    shell.say()
    alerts = [letter for letter in letters if letter.kind == "alert"]
    shell.say(
        f"{len(letters)} mails, {len(alerts)} of them alerts, as .eml and .html in {scene.folder}"
    )
    shell.say(f"the page about it: {scene.page}")
    settings = shlex.quote(str(scene.settings_file))
    shell.say(f"look around: easeback --config {settings} explain 2026-02-14")
