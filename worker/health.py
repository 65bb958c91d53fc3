"""Health: the one verdict on whether Easeback works, for everybody who asks.

`status` exits with 1, `/readyz` answers 503 (and the operator's page and the metric `ready` turn
bad), and the ping is withheld, each by what is marked here:

    trouble                                                        status  ready  ping
    a run of a job failed; a job, or all, haven't ended a run for
      minutes; a job ended in the future: the clock went back        x       x      x
    the mail server refuses or isn't reached, while mails wait       x       x      x
    mails were given up, or are tried again                          x       x
    a job hasn't run yet (somebody may run single passes only)               x
    the database can't be written                                    x       x      x
    an athlete's source fails                                        x
    a file waits in the inbox, for a reason                          x
    the operator's routine or templates can't be used                x

So whatever withholds the ping also turns `/readyz` and `status` bad. The database appears as the
`StoreError` that whoever asks meets. A failed file in the inbox is a fact about that file, and no
trouble of Easeback's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Flag, auto

from worker.pipeline.deliver import MAIL_TICK
from worker.store import Tick, Transaction

MADE_UP_TICK = "made-up clock"
"""Stands among the ticks where those of the last worker say nothing about today."""

WEB_TICK = "web"
"""The tick that says why the web server didn't start."""

WRITE_TICK = "readyz"
"""The tick that `/readyz` writes, to try whether anything can be written."""

_SLACK = timedelta(minutes=3)
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
    """One thing that isn't well: what it is about, and the whole sentence for the operator."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What the verdict is made from: arguments of `check_health`, ticks and the outbox's counts."""

    tx: Transaction
    now: datetime
    every: Mapping[str, timedelta]
    unusable: Sequence[str]
    ticks: Mapping[str, Tick]
    outbox: Mapping[str, int]


def check_health(
    tx: Transaction,
    now: datetime,
    *,
    every: Mapping[str, timedelta],
    audience: Audience,
    unusable: Sequence[str] = (),
) -> tuple[Trouble, ...]:
    """What isn't well for this audience, the gravest first; nothing where all is well.

    `every` says how often each watched job is run, by its name. `now` is by the clock of whoever
    recorded the ticks. `unusable` says what of the operator's routine and templates can't be used.
    """
    facts = HealthFacts(tx, now, every, unusable, tx.progress.ticks(), tx.outbox.counts())
    return tuple(trouble for told, check in CHECKS if audience & told for trouble in check(facts))


def _unusable(facts: HealthFacts) -> Iterator[Trouble]:
    return (Trouble("settings", text) for text in facts.unusable)


def _jobs(facts: HealthFacts) -> Iterator[Trouble]:
    now, every = facts.now, facts.every
    ticked = {name: facts.ticks[name] for name in every if name in facts.ticks}
    stale = [name for name, tick in ticked.items() if now - tick.at > 2 * every[name] + _SLACK]
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
            yield Trouble(name, f"{name}: last ended at {at}: the clock went back")
        elif name in stale:
            yield Trouble(name, f"{name}: hasn't ended since {tick.at:%Y-%m-%d %H:%M} UTC")


def _mail_server(facts: HealthFacts) -> Iterator[Trouble]:
    answer = facts.ticks.get(MAIL_TICK)
    if answer and answer.trouble and any(facts.outbox.get(state) for state in _WAITING):
        yield Trouble("mail", f"mail: {answer.trouble}")


def _not_begun(facts: HealthFacts) -> Iterator[Trouble]:
    for name in facts.every:
        if name not in facts.ticks:
            yield Trouble(name, f"{name}: hasn't run yet")


def _mails(facts: HealthFacts) -> Iterator[Trouble]:
    dead, retried = facts.outbox.get("dead", 0), facts.outbox.get("retry", 0)
    if not dead and not retried:
        return
    error = facts.tx.outbox.last_error()
    if dead:
        yield Trouble("mail", f"{dead} mail(s) could not be delivered: {error}")
    else:
        yield Trouble("mail", f"mail is being retried: {error}")


def _sources(facts: HealthFacts) -> Iterator[Trouble]:
    for athlete, source, state in facts.tx.progress.failing():
        yield Trouble(source, f"{athlete}, {source}: {state.last_error}")


def _waiting_files(facts: HealthFacts) -> Iterator[Trouble]:
    for entry in facts.tx.inbox.with_verdict("waiting"):
        if entry.reason:
            yield Trouble("inbox", f"{entry.path} waits: {entry.reason}")


HealthCheck = Callable[[HealthFacts], Iterator[Trouble]]

CHECKS: tuple[tuple[Audience, HealthCheck], ...] = (
    (Audience.STATUS, _unusable),
    (Audience.ALL, _jobs),
    (Audience.ALL, _mail_server),
    (Audience.READY, _not_begun),
    (Audience.STATUS | Audience.READY, _mails),
    (Audience.STATUS, _sources),
    (Audience.STATUS, _waiting_files),
)
"""Each check, and whom its troubles are told. Only what `status` alone asks may read many rows."""
