"""Health: whether everything works.

`status` exits with 1 (and the operator's page shows a problem), `/readyz` answers 503 (and the
metric `ready` is 0), and the ping is withheld, each for the problems marked here:

    problem                                                        status  ready  ping
    a run of a job failed; a job, or all, haven't ended a run for
      minutes, or never since the worker began; a job ended in
      the future, so the clock went back                             x       x      x
    the mail server refuses or can't be reached, while mails wait    x       x      x
    the web server doesn't start because its port is taken           x       x      x
    mails were given up, or are being retried                        x       x
    no worker has begun (somebody may run only single passes)                x
    the database can't be written, or the worker has another open    x       x      x
    a service answers nobody                                         x       x      x
    an athlete's source fails                                        x
    a file waits in the inbox for a reason, or to be read again      x
    the operator's routine or templates can't be used                x
    the clock has leapt, and isn't trusted for a few minutes         x

Everything that withholds the ping thus also affects `/readyz` and `status`. A database that can't
be used raises `StoreError` for the caller. A failed file in the inbox is a fact about that file,
and not a problem of Easeback.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Flag, auto

from worker.domain.shown import counted
from worker.pipeline.tick_names import MAIL_TICK, SOURCE_PAUSE_TICK, away_services
from worker.store import Transaction
from worker.store.progress import Tick

MADE_UP_TICK = "made-up clock"
"""Recorded among the ticks if the last worker ran by a simulated clock."""

WEB_TICK = "web"
"""The tick that says why the web server doesn't start."""

CLOCK_TICK = "clock"
"""The tick of the latest time that is certain; it has a trouble if the clock has leapt."""

LEAP_TICK = "leap"
"""The tick of the last pass that found the clock changed since the pass before it."""

BOOT_TICK = "boot"
"""The tick of the machine's boot, by the clock of the last pass; its name ends with the boot id."""

WRITE_TICK = "readyz"
"""The tick that `/readyz` writes to test whether the database is writable."""

_NOT_SHOWN = (WRITE_TICK, BOOT_TICK, LEAP_TICK, SOURCE_PAUSE_TICK.format(""))
_AHEAD = timedelta(minutes=5)
_WAITING = ("queued", "claimed", "at_dot", "retry")


class Audience(Flag):
    """Who asks about health."""

    STATUS = auto()
    READY = auto()
    PING = auto()
    ALL = STATUS | READY | PING


@dataclass(frozen=True, slots=True)
class Trouble:
    """One problem: what it is about, and the whole sentence for the operator."""

    name: str
    text: str


def shown_ticks(ticks: Mapping[str, Tick]) -> dict[str, Tick]:
    """The ticks that are of interest to an operator."""
    return {name: tick for name, tick in ticks.items() if not name.startswith(_NOT_SHOWN)}


@dataclass(frozen=True, slots=True)
class Shortage:
    """A resource that is exhausted. `is_fatal` means that the process can't continue."""

    text: str
    is_fatal: bool


def shortage_of(error: BaseException) -> Shortage | None:
    """The shortage that caused this error, or None."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EMFILE, errno.ENFILE):
        text = "too many files are open: allow more (`ulimit -n`, systemd's LimitNOFILE)"
        return Shortage(text, is_fatal=False)
    if isinstance(error, MemoryError) or code == errno.ENOMEM:
        text = "there isn't enough memory (systemd's MemoryMax, Docker's mem_limit, `ulimit -v`)"
        return Shortage(text, is_fatal=True)
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        text = (
            "no thread can be started: allow more memory or tasks (systemd's TasksMax, Docker's "
            "pids_limit, `ulimit`)"
        )
        return Shortage(text, is_fatal=True)
    return None


def check_health(
    tx: Transaction,
    now: datetime,
    *,
    patience: Mapping[str, timedelta],
    audience: Audience,
    unusable: Sequence[str] = (),
    works_elsewhere: bool = False,
    most: int | None = None,
) -> tuple[Trouble, ...]:
    """The problems for this audience, the most serious first; empty if everything works.

    `patience` has the time that each watched job may go without ending a run, by its name. `now` is
    by the same clock as the ticks. `unusable` lists problems of the operator's routine and
    templates. `works_elsewhere` says that the running worker has another database open. `most`
    limits how many sources and files of each kind are reported.
    """
    ticks, outbox = tx.progress.ticks(), tx.outbox.counts()
    troubles: list[Trouble] = []
    if Audience.STATUS in audience:
        troubles += [Trouble("settings", text) for text in unusable]
        clock = ticks.get(CLOCK_TICK)
        troubles += [Trouble("clock", clock.trouble)] if clock and clock.trouble else []
    troubles += _job_troubles(ticks, now, patience)
    if works_elsewhere:
        text = "the database file was replaced while the worker runs: start the worker again"
        troubles.append(Trouble("database", text))
    web, answer = ticks.get(WEB_TICK), ticks.get(MAIL_TICK)
    if web and web.trouble:
        troubles.append(Trouble("web", f"web: {web.trouble}"))
    if answer and answer.trouble and any(outbox.get(state) for state in _WAITING):
        troubles.append(Trouble("mail", f"mail: {answer.trouble}"))
    if Audience.READY in audience:
        missing = [name for name in patience if name not in ticks]
        troubles += [Trouble(name, f"{name}: hasn't run yet") for name in missing]
    if audience & (Audience.STATUS | Audience.READY):
        if dead := outbox.get("dead"):
            words = f"{counted(dead, 'mail')} could not be delivered: {tx.outbox.last_error()}"
            troubles.append(Trouble("mail", words))
        elif outbox.get("retry"):
            troubles.append(Trouble("mail", f"mail is being retried: {tx.outbox.last_error()}"))
    troubles += [
        Trouble(source, f"{source}: {why}; it is asked again soon")
        for source, why in away_services(tx).items()
    ]
    if Audience.STATUS in audience:  # only `status` may read many rows
        troubles += [
            Trouble(source, f"{athlete}, {source}: {state.last_error}")
            for athlete, source, state in tx.progress.failing(most=most)
        ]
        troubles += [
            Trouble("inbox", f"{e.path} waits: {e.reason}")
            for e in tx.inbox.with_verdict("waiting", most=most, reasoned=True)
        ]
        troubles += [
            Trouble("inbox", f"{e.path} waits to be read again: {e.reason}")
            for e in tx.inbox.with_verdict("unread", most=most)
        ]
    return tuple(troubles)


def _job_troubles(
    ticks: Mapping[str, Tick], now: datetime, patience: Mapping[str, timedelta]
) -> Iterator[Trouble]:
    ticked = {name: ticks[name] for name in patience if name in ticks}
    stale = [name for name, tick in ticked.items() if now - tick.at > patience[name]]
    if stale and len(stale) == len(ticked):
        last = max(tick.at for tick in ticked.values())
        yield Trouble(
            "worker",
            f"nothing has been done since {last:%Y-%m-%d %H:%M} UTC: "
            "is `easeback run` still running?",
        )
        stale = []
    for name, tick in ticked.items():
        if tick.trouble:
            yield Trouble(name, f"{name}: {tick.trouble}")
        elif tick.at > now + _AHEAD:
            at = f"{tick.at:%Y-%m-%d %H:%M} UTC"
            yield Trouble(
                name, f"{name}: last finished at {at}, which is still to come: the clock went back"
            )
        elif name in stale:
            yield Trouble(name, f"{name}: hasn't finished since {tick.at:%Y-%m-%d %H:%M} UTC")
