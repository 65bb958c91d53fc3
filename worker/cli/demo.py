"""The command `demo`: a made-up season played through the real worker, and what came of it."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.browser import show_in_browser
from worker.cli.context import CommandContext, NoOpenOption, UsageError, command_of, format_distance

if TYPE_CHECKING:
    from worker.demo import Moment, PlayedSeason, Scene
    from worker.demo.page import DemoMail

_FOLDER = Path("demo")


def play_demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where it is played and left.")
    ] = _FOLDER,
    no_open: NoOpenOption = False,
) -> None:
    """Play a runner's season through, from watch file to mail; needs no set-up and no network."""
    from worker.demo import Scene, SceneError, play
    from worker.demo.page import write_pages

    command = command_of(context)
    try:
        scene = Scene.set_up(folder)
    except SceneError as error:
        raise UsageError(str(error)) from error
    with _watching(command) as watch:
        season = play(scene, watch=watch)
    letters = write_pages(scene, season)
    _show(command, scene, season, letters)
    if not no_open:
        show_in_browser(scene.page.as_uri())


@contextmanager
def _watching(command: CommandContext) -> "Iterator[Callable[[Moment], None]]":
    """How far it is: a bar on a terminal, elsewhere a line for each alert."""
    if not sys.stderr.isatty():

        def say_alert(moment: "Moment") -> None:
            if moment.ran_m is not None and moment.mails:
                ran = format_distance(moment.ran_m, "km")
                command.say(f"{moment.day:%a} {moment.day}: ran {ran}, alert mailed")

        yield say_alert
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


def _show(
    command: CommandContext, scene: "Scene", season: "PlayedSeason", letters: "Sequence[DemoMail]"
) -> None:
    from worker.cli.terminal_chart import print_weeks

    who = season.athlete
    mailed = [(one.finding.day, one.notified_on is not None) for one in season.found]
    command.say(f"{who.name}, made up: {season.runs} runs in {len(season.weeks)} weeks, km a week")
    command.say()
    print_weeks(command.out, season.weeks, mailed, units=who.units)
    command.say()
    for one in season.found:
        found = one.finding
        if one.notified_on is not None:
            ran = format_distance(found.observed_m, who.units)
            baseline = format_distance(found.baseline_m, who.units)
            command.say(f"{found.day:%a} {found.day}  {found.kind}: {ran} after {baseline}")
    command.say()
    alerts = [letter for letter in letters if letter.kind == "alert"]
    command.say(
        f"{len(letters)} mails, {len(alerts)} of them alerts, as .eml and .html in {scene.folder}"
    )
    command.say(f"the page about it: {scene.page}")
    settings = shlex.quote(str(scene.settings_file))
    command.say(f"look around: easeback --config {settings} explain 2026-02-14")
