"""The command `open`: an athlete's page in the browser."""

from datetime import UTC, datetime

import typer

from worker.cli.browser import show_in_browser
from worker.cli.context import (
    BY_ITS_NAME,
    AthleteArgument,
    NoOpenOption,
    UsageError,
    command_of,
    the_athlete,
)


def open_page(
    context: typer.Context,
    athlete: AthleteArgument = None,
    no_open: NoOpenOption = False,
) -> None:
    """Open an athlete's page in the browser, with a fresh link that works for 60 days.

    If no browser opens, or with --no-open, the address is printed. `easeback run` serves the page.
    """
    command = command_of(context)
    if not command.settings.web.enabled:
        raise UsageError("there are no pages: [web] enabled is false")
    with command.store.reading() as tx:
        who = the_athlete(tx, athlete, how=BY_ITS_NAME)
    address = command.signer.sign("athlete", who, now=datetime.now(UTC))
    if no_open or not show_in_browser(address):
        print(address)  # noqa: T201  alone on its line, for scripts and people
    else:
        command.say(f"opened the page of {who.name}; it's there while `easeback run` serves it")
