"""The command `preview`: composes a mail without sending it."""

from typing import Annotated

import typer

from worker.cli.browser import show_in_browser
from worker.cli.context import (
    AsOfOption,
    AthleteOption,
    AttentionError,
    NoOpenOption,
    UsageError,
    clock_as_of,
    command_of,
    the_athlete,
)


def preview(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="alert|weekly", help="Which mail.")],
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    no_open: NoOpenOption = False,
) -> None:
    """Compose a mail as it would be, without sending it."""
    from worker.keys import read_keys
    from worker.links import Signer
    from worker.notify.render import standalone
    from worker.pipeline.preview import alert_preview, weekly_preview

    composers = {"alert": alert_preview, "weekly": weekly_preview}
    if kind not in composers:
        raise UsageError(f"preview shows an alert or a weekly mail, not {kind!r}")
    command = command_of(context)
    command.store.close()  # raises if nothing is set up, before anything is created
    services = command.services()
    now = clock_as_of(as_of)()
    if as_of is not None:  # links signed for another time would open the wrong day
        services.composer.signer = Signer(
            read_keys(command.settings), command.settings.base_url, preview=True
        )
    with services.store.reading() as tx:
        email = composers[kind](tx, services, the_athlete(tx, athlete), now=now)
    if email is None:
        raise AttentionError(
            "there is no finding to preview an alert about (see `easeback explain`)"
        )
    page = command.settings.data_dir.absolute() / "preview" / f"{email.kind}.html"
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(standalone(email), "utf-8")
    except OSError as error:
        raise AttentionError(f"{page} can't be written: {error.strerror}") from error
    command.say(f"Subject: {email.subject}")
    command.say()
    for line in email.text.splitlines():
        command.say(line)
    command.say(f"as it looks: {page}")
    if as_of is not None:
        command.say("its links open nothing: they are of another time")
    if not no_open:
        show_in_browser(page.as_uri())
