"""Health: is the process there, and does the work go on.

`/livez` touches nothing. `/readyz` tries a write and looks at when each piece of the work last
ended; what exactly is wrong it tells those who may see the operator's page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.store import StoreError, Transaction
from worker.web.desk import Desk, Visit
from worker.web.operator import is_operator

_SLACK = timedelta(minutes=3)
_AHEAD = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that is well, or what is wrong with it."""

    name: str
    trouble: str | None


def livez(_: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


def readyz(desk: Desk, visit: Visit) -> Response:
    """200 where the work goes on, else 503."""
    try:
        desk.probe.write(desk.store, visit.now)
        with desk.store.reading() as tx:
            troubles = [sign for sign in signs(desk, tx, visit.now) if sign.trouble]
    except StoreError as error:
        troubles = [Sign("database", str(error))]
    if not troubles:
        return PlainTextResponse("ok\n")
    told = is_operator(desk, visit.request)
    lines = [f"{sign.name}: {sign.trouble}" if told else sign.name for sign in troubles]
    return PlainTextResponse("\n".join(["not ready", *lines, ""]), 503)


def signs(desk: Desk, tx: Transaction, now: datetime) -> tuple[Sign, ...]:
    """How each piece of the work feels."""
    return tuple(_signs(desk, tx, now))


def _signs(desk: Desk, tx: Transaction, now: datetime) -> Iterator[Sign]:
    ticks = tx.progress.ticks()
    for name, every in desk.ticks.items():
        tick = ticks.get(name)
        if tick is None:
            yield Sign(name, "hasn't run yet")
        elif tick.at - now > _AHEAD:
            yield Sign(name, f"last ran at {tick.at:%Y-%m-%d %H:%M} UTC: the clock went back")
        elif now - tick.at > 2 * every + _SLACK:
            yield Sign(name, f"hasn't run since {tick.at:%Y-%m-%d %H:%M} UTC")
        else:
            yield Sign(name, tick.trouble)
    yield Sign("mail", _mail_trouble(tx.outbox.counts()))


def _mail_trouble(counts: dict[str, int]) -> str | None:
    waiting, dead = counts.get("retry", 0), counts.get("dead", 0)
    if waiting:
        return f"{waiting} mail(s) couldn't be sent yet and are tried again"
    return f"{dead} mail(s) couldn't be delivered" if dead else None
