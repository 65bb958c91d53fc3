"""The commands that do the work: `run` and `once`."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.context import (
    AsOfOption,
    AttentionError,
    CommandContext,
    JsonOption,
    UsageError,
    clock_as_of,
    command_of,
)

if TYPE_CHECKING:
    from worker.app import NotifyWorkers
    from worker.jobs.once import Pass
    from worker.jobs.registry import Job
    from worker.pipeline.services import Clock, Services

log = logging.getLogger(__name__)

WEB_TRIED_EVERY_S = 5.0
STOPS_WITHIN_S = 12
"""Less than the stop timeouts of the shipped systemd unit and compose files."""

HUNG_UP = 128 + signal.SIGHUP
"""The exit status after SIGHUP: not 0, so that systemd and Docker restart the worker."""


WorkerOption = Annotated[
    bool, typer.Option("--worker", help="With several workers: no web server in this process.")
]
WebOption = Annotated[
    bool,
    typer.Option("--web", help="With several workers: only the web server in this process."),
]


def run_command(
    context: typer.Context,
    as_of: AsOfOption = None,
    worker: WorkerOption = False,
    web: WebOption = False,
) -> None:
    """Run the worker until it is stopped.

    It watches the folder, asks the services, judges runs and sends mail. SIGTERM stops it. So does
    SIGHUP, with status 129, so that a supervisor restarts it with the current settings.
    """
    command = command_of(context)
    is_cluster = command.settings.engine.kind == "procrastinate"
    if (worker or web) and not is_cluster:
        raise UsageError(
            "run --worker and --web are for several workers: one process does both, unless "
            '[engine] kind = "procrastinate"'
        )
    if web and not worker and not command.settings.web.enabled:
        raise UsageError("run --web: the web server is off ([web] enabled = false)")
    if not command.verbose:
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("worker").setLevel(logging.INFO)
    services = command.services(patient=True)
    refuse_half_moved(services)
    now = clock_as_of(as_of)
    made_up_from = now() if as_of else None
    if is_cluster:
        log_start(command, services)
        ended, signals = True, Signals()
        with _cluster_web(command, services, now) if web or not worker else nullcontext():
            if worker or not web:
                ended = _run_cluster_worker(command, services, now, made_up_from, signals)
            else:
                stopped = threading.Event()
                signals.end(stopped.set)
                stopped.wait()
        signals.exit(all_ended=ended)
    else:
        _run_embedded(command, services, now, made_up_from)


def _run_embedded(
    command: CommandContext, services: "Services", now: "Clock", made_up_from: datetime | None
) -> None:
    from worker.jobs.embedded import EmbeddedWorker
    from worker.jobs.registry import jobs_of, patience_of
    from worker.jobs.ticks import FIRST_RELEASE, await_ticks, begin_ticks
    from worker.pipeline.backup import notice_older_copy

    jobs = jobs_of(services)
    worker = EmbeddedWorker(services, now, not_before=None if made_up_from else FIRST_RELEASE)
    signals = Signals()
    with services.store.sole_worker():
        signals.end(worker.stop)
        notice_older_copy(services, now())
        begin_ticks(services, made_up_from=made_up_from)
        await_ticks(services, patience_of(jobs), at=now())
        log_start(command, services)
        with web_server(command, services, now, jobs):
            ended = worker.run(jobs)
        signals.exit(all_ended=ended)


def _run_cluster_worker(
    command: CommandContext,
    services: "Services",
    now: "Clock",
    made_up_from: datetime | None,
    signals: "Signals",
) -> bool:
    """Run until the process is stopped. True if every task had ended by then."""
    from worker.app import build_mailer
    from worker.jobs.cluster import ClusterWorker
    from worker.jobs.registry import jobs_of
    from worker.jobs.ticks import FIRST_RELEASE, begin_ticks

    names = [job.name for job in jobs_of(services)]
    begin_ticks(services, made_up_from=made_up_from, shared=names)
    worker = ClusterWorker(
        services,
        now,
        mailer=lambda: build_mailer(command.settings, services.mail_login),
        not_before=None if made_up_from else FIRST_RELEASE,
    )
    signals.end(worker.stop)
    return worker.run()


@contextmanager
def _cluster_web(command: CommandContext, services: "Services", now: "Clock") -> Iterator[None]:
    """Run the web server among several workers; its webhooks notify a worker at once."""
    from worker.jobs.cluster import stay_seen
    from worker.jobs.cluster_tasks import WorkerNotifier, install
    from worker.jobs.registry import jobs_of

    install(services.store)
    notifier = WorkerNotifier(services.store)
    try:
        with (
            stay_seen(services.store),
            web_server(command, services, now, jobs_of(services), notify=notifier),
        ):
            yield
    finally:
        notifier.close()


@contextmanager
def web_server(
    command: CommandContext,
    services: "Services",
    now: "Clock",
    jobs: "Sequence[Job]",
    *,
    notify: "NotifyWorkers" = lambda *_: None,
) -> Iterator[None]:
    """Run the web server beside the worker, and retry while its port is taken.

    Mail is sent without it, so its failure is only recorded.
    """
    if not command.settings.web.enabled:
        yield
        return
    from worker.app import build_web_server
    from worker.health import WEB_TICK
    from worker.jobs.registry import patience_of
    from worker.jobs.ticks import record_tick
    from worker.store import StoreError
    from worker.store.progress import Tick
    from worker.web import WebServerError

    server = build_web_server(
        command.settings, services, now, patience=patience_of(jobs), notify=notify
    )
    ended, recorded = threading.Event(), None

    def starts() -> bool:
        nonlocal recorded
        trouble = None
        try:
            server.start()
        except WebServerError as error:
            trouble = str(error)
        if trouble or recorded:
            with suppress(StoreError):
                recorded = record_tick(services, WEB_TICK, Tick(now(), trouble), before=recorded)
        return trouble is None

    def try_again() -> None:
        while not ended.wait(WEB_TRIED_EVERY_S) and not starts():
            pass

    trying = None if starts() else threading.Thread(target=try_again, name="web tries")
    if trying:
        trying.start()
    try:
        yield
    finally:
        ended.set()
        if trying:
            trying.join()
        server.stop()


class Signals:
    """The signals that stop the worker cleanly: SIGTERM, Ctrl-C and, unless ignored, SIGHUP.

    A second signal stops it at once.
    """

    def __init__(self) -> None:
        self._status = 0

    def end(self, stop: Callable[[], None]) -> None:
        """Call `stop` at the first signal.

        If stopping takes too long because a thread doesn't end, an alarm ends the process. The
        alarm needs no memory and no thread.
        """

        def handle(number: int, _: FrameType | None) -> None:
            signal.alarm(STOPS_WITHIN_S)
            signal.signal(number, signal.SIG_DFL)
            if number == signal.SIGHUP:
                self._status = HUNG_UP
            stop()
            log.info("stopping on %(signal)s", {"signal": signal.Signals(number).name})

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            is_nohup = number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
            if not is_nohup:
                signal.signal(number, handle)

    def exit(self, *, all_ended: bool) -> None:
        """End the process with the exit status for the signal.

        If a thread still waits for a mail server, the process ends without waiting for it.
        """
        if not all_ended:
            logging.shutdown()
            os._exit(self._status)
        raise typer.Exit(self._status)


def once(context: typer.Context, as_of: AsOfOption = None, as_json: JsonOption = False) -> None:
    """Do everything that is due once, then exit."""
    from worker.jobs.once import begin_pass, one_pass
    from worker.jobs.registry import jobs_of
    from worker.jobs.ticks import FIRST_RELEASE, begin_ticks, unset_clock
    from worker.pipeline.backup import notice_older_copy

    command, now = command_of(context), clock_as_of(as_of)
    services = command.services()
    refuse_half_moved(services)
    doubt = None
    with services.store.sole_worker():
        notice_older_copy(services, now())
        if as_of is not None:
            begin_ticks(services)
        elif unset := unset_clock(now(), FIRST_RELEASE):
            raise AttentionError(unset)
        else:
            services, doubt = begin_pass(services, now)
        done = one_pass(services, now)
    taken, delivered = done.taken_in, done.delivered
    if as_json:
        command.print_json(_as_json(done))
    else:
        command.say(
            f"inbox: {taken.imported} imported, {taken.duplicate} known already, "
            f"{taken.skipped} not runs, {len(taken.failed)} failed"
            + (f", {taken.unread} to be read again" if taken.unread else "")
        )
        for name, synced in done.synced.items():
            if synced.polled:
                command.say(f"{name}: {synced.polled} asked for")
        command.say(f"mail: {delivered.sent} sent")
    with services.store.reading() as tx:
        entries = tx.inbox.with_verdict("waiting", "unread")
        waiting = [entry for entry in entries if entry.reason]
    troubles = [
        *([doubt] if doubt else []),
        *delivered.troubles,
        *(trouble for synced in done.synced.values() for trouble in synced.troubles),
        *(f"{file}: {reason}" for file, reason in taken.failed),
        *(f"{entry.path} waits: {entry.reason}" for entry in waiting),
    ]
    if troubles:
        more = f" (and {len(troubles) - 1} more: easeback status)" if len(troubles) > 1 else ""
        raise AttentionError(troubles[0] + more)
    for job in jobs_of(services):
        if job.reports:
            job.run(services, now, True)


def refuse_half_moved(services: "Services") -> None:
    """Raise `AttentionError` if the database has only a part of the data, after half a move."""
    from worker.store.progress import MOVING

    with services.store.reading() as tx:
        is_half = tx.progress.tick(MOVING) is not None
    if is_half:
        raise AttentionError(
            "this database holds half of a move: run `easeback move-to` again until it is whole"
        )


def log_start(command: CommandContext, services: "Services") -> None:
    from worker.store import file_system

    settings = command.settings
    with services.store.reading() as tx:
        athletes = tx.athletes.count()
    log.info(
        "easeback runs for athletes: %(athletes)d, inbox %(inbox)s, mail to %(mail)s",
        {
            "athletes": athletes,
            "inbox": str(settings.inbox_path),
            "mail": str(settings.mail.host or settings.mailbox_path),
        },
    )
    if services.store.file is not None and (share := file_system.warning(services.store.file)):
        log.warning("%(why)s", {"why": share})
    if not athletes:
        log.warning("there is no athlete yet: add one with `easeback athlete add`")


def _as_json(done: "Pass") -> dict[str, object]:
    from worker.pipeline.sync import Synced
    from worker.sources.registry import SOURCES

    taken = done.taken_in
    sources = {kind.name: done.synced.get(kind.name, Synced()) for kind in SOURCES}
    return {
        "inbox": {
            "imported": taken.imported,
            "duplicate": taken.duplicate,
            "skipped": taken.skipped,
            "unread": taken.unread,
            "failed": [{"file": file, "reason": reason} for file, reason in taken.failed],
        },
        **{
            name: {"polled": synced.polled, "troubles": list(synced.troubles)}
            for name, synced in sources.items()
        },
        "mail": {"sent": done.delivered.sent, "troubles": list(done.delivered.troubles)},
    }
