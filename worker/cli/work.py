"""Commands that do the work: run, once."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.shell import (
    AsOfOption,
    AttentionError,
    JsonOption,
    Shell,
    UsageError,
    clock,
    shell_of,
)

if TYPE_CHECKING:
    from worker.app import NotifyWorkers
    from worker.pipeline import Clock, Pass, Works

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    app.command("run")(run)
    app.command("once")(once)


WorkerOption = Annotated[
    bool, typer.Option("--worker", help="Of a crew: the worker alone, without the web face.")
]
WebOption = Annotated[
    bool, typer.Option("--web", help="Of a crew: the web face alone, without a worker.")
]


def run(
    context: typer.Context,
    as_of: AsOfOption = None,
    worker: WorkerOption = False,
    web: WebOption = False,
) -> None:
    """The worker: watches the folder, decides, mails, until it is stopped."""
    shell = shell_of(context)
    is_crew = shell.settings.engine.kind == "procrastinate"
    if (worker or web) and not is_crew:
        raise UsageError(
            "run --worker and --web are for a crew: one process does both, unless "
            '[engine] kind = "procrastinate"'
        )
    if web and not worker and not shell.settings.web.enabled:
        raise UsageError("run --web: the web face is off ([web] enabled = false)")
    if not shell.verbose:
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("worker").setLevel(logging.INFO)
    if is_crew:
        from worker.cli import crew

        crew.run(shell, clock(as_of), made_up=as_of is not None, worker=worker or not web,
                 web=web or not worker)  # fmt: skip
    else:
        _run_alone(shell, as_of)


def _run_alone(shell: Shell, as_of: str | None) -> None:
    from worker.daemon import FIRST_RELEASE, Worker, jobs, on_signals
    from worker.pipeline import begin_ticks

    works = shell.works(patient=True)
    refuse_half_moved(works)
    now = clock(as_of)
    worker = Worker(works, now, not_before=None if as_of else FIRST_RELEASE)
    with works.store.sole_worker():
        on_signals(worker.stop)
        begin_ticks(works, made_up_from=now() if as_of else None)
        greet(shell, works)
        all_jobs = jobs(works, now)
        with face(shell, works, now, {job.name: job.every for job in all_jobs}):
            ended = worker.run(all_jobs)
        if not ended:
            # A thread that hangs in a mail server's answer would keep the process alive.
            logging.shutdown()
            os._exit(0)
    works.store.close()


@contextmanager
def face(
    shell: Shell,
    works: "Works",
    now: "Clock",
    ticks: "Mapping[str, timedelta]",
    *,
    nudge: "NotifyWorkers" = lambda *_: None,
) -> Iterator[None]:
    """The web face beside the worker. Mail goes out without it, so trouble with it is only said."""
    if not shell.settings.web.enabled:
        yield
        return
    from worker.app import build_web_server
    from worker.pipeline import Tick, record_tick
    from worker.web import FaceError

    shown = build_web_server(shell.settings, works, now, ticks=ticks, notify=nudge)
    try:
        shown.start()
    except FaceError as error:
        log.error("web: %(why)s", {"why": str(error)})  # noqa: TRY400  one line, no traceback
        record_tick(works, "web", Tick(now(), str(error)))
    try:
        yield
    finally:
        shown.stop()


def once(context: typer.Context, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """One whole pass of everything due, then exit."""
    from worker.pipeline import begin_ticks, one_pass
    from worker.pipeline.pulse import fetch

    shell = shell_of(context)
    works = shell.works()
    refuse_half_moved(works)
    with works.store.sole_worker():
        begin_ticks(works)
        done = one_pass(works, clock(as_of))
    if as_json:
        shell.print_json(_as_json(done))
    else:
        _tell(shell, done)
    troubles = _troubles(works, done)
    if troubles:
        more = f" (and {len(troubles) - 1} more: easeback status)" if len(troubles) > 1 else ""
        raise AttentionError(troubles[0] + more)
    if works.ping_url is not None:
        fetch(works.ping_url)
    works.store.close()


def refuse_half_moved(works: "Works") -> None:
    """Nobody may work on a database that holds only a part of what there is."""
    from worker.store.moving import half_moved

    if half_moved(works.store):
        raise AttentionError(
            "this database holds half of a move: run `easeback move-to` again until it is whole"
        )


def greet(shell: Shell, works: "Works") -> None:
    from worker.store import place

    settings = shell.settings
    with works.store.reading() as tx:
        athletes = tx.athletes.count()
    log.info(
        "easeback runs: %(athletes)d athlete(s), inbox %(inbox)s, mail to %(mail)s",
        {
            "athletes": athletes,
            "inbox": str(settings.inbox_path),
            "mail": str(settings.mail.host or settings.mailbox_path),
        },
    )
    if works.store.file is not None and (share := place.warning(works.store.file)):
        log.warning("%(why)s", {"why": share})
    if not athletes:
        log.warning("there is no athlete yet: add one with `easeback athlete add`")
    sys.stderr.flush()


def _tell(shell: Shell, done: "Pass") -> None:
    taken = done.taken_in
    shell.say(
        f"inbox: {taken.imported} imported, {taken.duplicate} known already, "
        f"{taken.skipped} not runs, {len(taken.failed)} failed"
    )
    for name, synced in done.synced.items():
        if synced.polled:
            shell.say(f"{name}: {synced.polled} asked for")
    shell.say(f"mail: {done.delivered.sent} sent")


def _as_json(done: "Pass") -> dict[str, object]:
    from worker.pipeline import SOURCES, Synced

    taken = done.taken_in
    synced = {source.name: done.synced.get(source.name, Synced()) for source in SOURCES}
    return {
        "inbox": {
            "imported": taken.imported,
            "duplicate": taken.duplicate,
            "skipped": taken.skipped,
            "failed": [{"file": file, "reason": reason} for file, reason in taken.failed],
        },
        **{
            name: {"polled": one.polled, "troubles": list(one.troubles)}
            for name, one in synced.items()
        },
        "mail": {"sent": done.delivered.sent, "troubles": list(done.delivered.troubles)},
    }


def _troubles(works: "Works", done: "Pass") -> list[str]:
    with works.store.reading() as tx:
        waiting = [e for e in tx.inbox.with_verdict("waiting") if e.reason]
    return [
        *done.delivered.troubles,
        *(trouble for synced in done.synced.values() for trouble in synced.troubles),
        *(f"{file}: {reason}" for file, reason in done.taken_in.failed),
        *(f"{entry.path} waits: {entry.reason}" for entry in waiting),
    ]
