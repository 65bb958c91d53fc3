"""Commands that look after the works: doctor, preview, backup, restore."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.browser import show
from worker.cli.shell import (
    AsOfOption,
    AthleteOption,
    AttentionError,
    JsonOption,
    Shell,
    UsageError,
    clock,
    shell_of,
    the_athlete,
)

if TYPE_CHECKING:
    from worker.model import Athlete, Email
    from worker.pipeline import Works
    from worker.store import Transaction

NoOpenOption = Annotated[bool, typer.Option("--no-open", help="Don't open the browser.")]


def register(app: typer.Typer) -> None:
    app.command("preview")(preview)
    app.command("doctor")(doctor)
    app.command("backup")(backup)
    app.command("restore")(restore)


def preview(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="alert|weekly", help="Which mail.")],
    athlete: AthleteOption = None,
    as_of: AsOfOption = None,
    no_open: NoOpenOption = False,
) -> None:
    """Compose a mail as it would be, without sending it."""
    if kind not in ("alert", "weekly"):
        raise UsageError(f"preview shows an alert or a weekly mail, not {kind!r}")
    shell = shell_of(context)
    works = shell.works()
    now = clock(as_of)()
    with works.store.reading() as tx:
        who = the_athlete(tx, athlete)
        email = _composed(tx, works, who, kind, now)
    page = _page(shell, email)
    shell.say(f"Subject: {email.subject}")
    shell.say()
    shell.say(email.text)
    shell.say(f"as it looks: {page}")
    if not no_open:
        show(page.as_uri())


def _composed(
    tx: "Transaction", works: "Works", who: "Athlete", kind: str, now: datetime
) -> "Email":
    from worker.pipeline.previewing import alert_preview, weekly_preview

    composed = (alert_preview if kind == "alert" else weekly_preview)(tx, works, who, now=now)
    if composed is None:
        raise AttentionError(
            "there is no finding to preview an alert about (see `easeback explain`)"
        )
    return composed


def _page(shell: Shell, email: "Email") -> Path:
    from worker.compose.render import standalone

    folder = shell.settings.data_dir / "preview"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{email.kind}.html"
    page.write_text(standalone(email), "utf-8")
    return page.absolute()


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check settings, folder, database, mail and clock; says how to mend each."""
    from worker.cli.checkup import checks

    shell = shell_of(context)
    done = list(checks(shell))
    if as_json:
        shell.print_json([{"what": c.what, "ok": c.ok, "says": c.says} for c in done])
    else:
        for check in done:
            shell.say(f"{'ok  ' if check.ok else 'BAD '} {check.what}: {check.says}")
    bad = [check for check in done if not check.ok]
    if bad:
        raise AttentionError(f"{bad[0].what}: {bad[0].says}")


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Write a consistent copy of the database, also while the worker runs."""
    shell = shell_of(context)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file}: not a place for a file")
    if file.exists() and not force:
        raise UsageError(f"{file} is there already: choose another name, or say --force")
    shell.store.copy_to(file)
    shell.say(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")


def restore(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A copy that `backup` or the worker made.")
    ] = None,
    only_mark: Annotated[
        bool,
        typer.Option("--only-mark", help="The database was restored by other means (pg_restore)."),
    ] = False,
) -> None:
    """Put a backup in the place of the database; nothing that was sent since goes again."""
    from worker.pipeline.keeping import copy_name
    from worker.pipeline.restoring import mark_restored
    from worker.store import Store
    from worker.store.restoring import restore as put_in_place

    shell = shell_of(context)
    now = datetime.now(UTC)
    if (file is None) != only_mark:
        raise UsageError("restore: name the FILE to restore, or say --only-mark")
    if file is None:
        with shell.store.sole_worker(), shell.store.transaction() as tx:
            marked = mark_restored(tx, now=now)
    else:
        if not file.is_file():
            raise UsageError(f"{file}: there is no such file")
        aside = shell.settings.backups_path / copy_name(now)
        # Not opened as usual: what is to be replaced may be damaged.
        store = Store.at(shell.settings.url)
        with store.sole_worker():
            marked = put_in_place(
                file, store, aside=aside, mark=lambda tx: mark_restored(tx, now=now)
            )
        shell.say(f"restored {file}; what was there before is in {aside}")
    shell.say(
        f"held {marked.held} mail(s) that may have been sent since (`easeback outbox list`); "
        f"{marked.weeks} week(s) up to now count as told"
    )
