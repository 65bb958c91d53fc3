"""The roles of a crew: a worker, the web face, or both in one process, on PostgreSQL."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from worker.cli.shell import Shell

if TYPE_CHECKING:
    from worker.cluster import CrewWorker
    from worker.pipeline import Clock, Works


_OTHER_TICKS = ("ping", "web", "readyz", "mail paused")


def run(shell: Shell, now: "Clock", *, made_up: bool, worker: bool, web: bool) -> None:
    """Start these roles, until the process is told to end."""
    from worker.cli.work import greet, refuse_half_moved
    from worker.daemon import on_signals
    from worker.pipeline import begin_ticks

    works = shell.works(patient=True)
    refuse_half_moved(works)
    greet(shell, works)
    ended = True
    with ExitStack() as beside:
        if web:
            beside.enter_context(_web(shell, works, now))
        if worker:
            others = (*looks(works), *_OTHER_TICKS)
            begin_ticks(works, keep=others, made_up_from=now() if made_up else None)
            crew_worker = _worker(shell, works, now, made_up=made_up)
            on_signals(crew_worker.stop)
            ended = crew_worker.run()
        else:
            stopped = threading.Event()
            on_signals(stopped.set)
            stopped.wait()
    if not ended:
        # A thread that hangs in a mail server's answer would keep the process alive.
        logging.shutdown()
        os._exit(0)
    works.store.close()


def _worker(shell: Shell, works: "Works", now: "Clock", *, made_up: bool) -> "CrewWorker":
    from worker.app import build_mailer
    from worker.cluster import CrewWorker
    from worker.daemon import FIRST_RELEASE

    return CrewWorker(
        works,
        now,
        mailer=lambda: build_mailer(shell.settings),
        not_before=None if made_up else FIRST_RELEASE,
    )


@contextmanager
def _web(shell: Shell, works: "Works", now: "Clock") -> Iterator[None]:
    """The web face, seen beside the crew, whose webhooks wake a worker at once."""
    from worker.cli.work import face
    from worker.cluster import Nudge, install, keep_seen

    install(works.store)
    nudge = Nudge(works.store)
    try:
        with keep_seen(works.store), face(shell, works, now, looks(works), nudge=nudge):
            yield
    finally:
        nudge.close()


def looks(works: "Works") -> dict[str, timedelta]:
    """How often each look of a crew comes round."""
    from worker import daemon
    from worker.pipeline.chores import rounds

    found = rounds(works, weekly_every=daemon.WEEKLY_EVERY, tidy_every=daemon.TIDY_EVERY)
    return {one.name: one.every for one in found} | {"deliver": daemon.DELIVER_EVERY}
