"""The command `demo`: simulates a season with the real worker, and shows the result."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.browser import show_in_browser
from worker.cli.context import CommandContext, NoOpenOption, UsageError, command_of, is_plain
from worker.cli.progress import progress
from worker.domain.shown import counted, format_distance

if TYPE_CHECKING:
    from worker.demo.folder import DemoFolder
    from worker.demo.page import DemoMail
    from worker.demo.simulation import SimulatedEvent, SimulatedSeason


def play_demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="The folder for its files.")
    ] = Path("demo"),
    no_open: NoOpenOption = False,
) -> None:
    """Simulate a runner's season, from watch file to mail.

    It needs no setup and no network.
    """
    from worker.demo import runner
    from worker.demo.folder import DemoFolder, DemoFolderError
    from worker.demo.page import write_pages
    from worker.demo.simulation import simulate

    command = command_of(context)
    try:
        made = DemoFolder.set_up(folder)
        beside = DemoFolder.set_up(made.path / "kim")
    except DemoFolderError as error:
        raise UsageError(str(error)) from error
    # On a terminal a bar shows the progress, elsewhere a line for each alert.
    has_bar = not is_plain(sys.stderr)
    until = runner.BEGINS.date()
    total = (runner.ENDS.date() - until).days
    with progress("playing", "days", total, quiet=not has_bar) as advance:

        def watch(event: "SimulatedEvent") -> None:
            nonlocal until
            advance((event.day - until).days)
            until = event.day
            if not has_bar and event.ran_m is not None and event.mails:
                ran = format_distance(event.ran_m, "km")
                command.say(f"{event.day:%a %Y-%m-%d}: ran {ran}, alert mailed")

        season = simulate(made, runner.robin(), watch=watch)
        by_feel = simulate(beside, runner.kim(), watch=lambda _: None)
    _show(command, made, season, by_feel, write_pages(made, season, beside, by_feel))
    if not no_open:
        show_in_browser(made.page.as_uri())


def _show(
    command: CommandContext,
    folder: "DemoFolder",
    season: "SimulatedSeason",
    by_feel: "SimulatedSeason",
    mails: "Sequence[DemoMail]",
) -> None:
    from worker.demo import runner

    since = f"{runner.FOLLOWS_FROM:%d %B}".lstrip("0")
    _show_season(command, season, f"by the plan from {since} on")
    alerts = sum(mail.kind == "alert" for mail in mails)
    command.say(
        f"{counted(len(mails), 'mail')}, alerts among them: {alerts}, "
        f"as .eml and .html in {folder.path}"
    )
    command.say()
    _show_season(command, by_feel, f"the same until {since}, then by feel")
    command.say(f"the page about it: {folder.page}")
    settings = shlex.quote(str(folder.settings_file))
    command.say(f"look around: easeback --config {settings} explain 2026-02-14")


def _show_season(command: CommandContext, season: "SimulatedSeason", how: str) -> None:
    """Print the weeks of a season as a chart, and a line for each alert."""
    from worker.cli.terminal_chart import print_weeks

    who = season.athlete
    mailed = [(one.finding.day, one.notified_on is not None) for one in season.found]
    ran = counted(season.runs, "run")
    weeks = counted(len(season.weeks), "week")
    command.say(f"{who.name}, made up, {how}: {ran} in {weeks}, km a week")
    command.say()
    print_weeks(command, season.weeks, mailed, units=who.units)
    command.say()
    for one in season.found:
        found = one.finding
        if one.notified_on is not None:
            ran = format_distance(found.observed_m, who.units)
            baseline = format_distance(found.baseline_m, who.units)
            command.say(f"{found.day:%a %Y-%m-%d}  {found.kind}: {ran} after {baseline}")
    command.say()
