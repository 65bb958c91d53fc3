"""The operator's page, and the same figures for Prometheus.

Every figure is a count or has a bound on its length: neither page grows with the athletes.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from worker import __version__
from worker.health import WRITE_TICK, Audience, check_health
from worker.store import Tick
from worker.web.context import WebContext
from worker.web.operator import is_operator, require_operator
from worker.web.visits import Visit

_FAILING_SHOWN = 50
_LIVE_WITHIN = timedelta(minutes=1)
_ROLES = ("worker", "web")
_STATES = ("queued", "claimed", "at_dot", "retry", "dead", "held")
_VERDICTS = ("waiting", "imported", "duplicate", "skipped", "failed")
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def home(web: WebContext, visit: Visit) -> Response:
    """Leads the operator to their page; everybody else reads that theirs are in their mails."""
    if is_operator(web, visit.request):
        return RedirectResponse("/status", 303)
    return web.pages.show("home.html")


def status_page(web: WebContext, visit: Visit) -> Response:
    require_operator(web, visit.request)
    with web.store.reading() as tx:
        return web.pages.show(
            "status.html",
            version=__version__,
            now=visit.now,
            troubles=check_health(tx, visit.now, every=web.ticks, audience=Audience.READY),
            ticks=_shown_ticks(tx.progress.ticks()),
            athletes=tx.athletes.count(),
            outbox=tx.outbox.counts(),
            states=_STATES,
            inbox=tx.inbox.counts(),
            verdicts=_VERDICTS,
            failing=tx.progress.failing(most=_FAILING_SHOWN),
            failing_shown=_FAILING_SHOWN,
        )


def metrics(web: WebContext, visit: Visit) -> Response:
    """Gauges in Prometheus' text format."""
    require_operator(web, visit.request)
    with web.store.reading() as tx:
        troubles = check_health(tx, visit.now, every=web.ticks, audience=Audience.READY)
        ticks = _shown_ticks(tx.progress.ticks())
        outbox, inbox = tx.outbox.counts(), tx.inbox.counts()
        athletes = tx.athletes.count()
        failing = len(tx.progress.failing(most=_FAILING_SHOWN))
        workers = Counter[str](one.role for one in tx.workers.living(within=_LIVE_WITHIN))
    lines = [
        *_gauge("build_info", "The version that runs.", {_label("version", __version__): 1}),
        *_gauge("ready", "1 where the work goes on.", {"": int(not troubles)}),
        *_gauge("athletes", "Athletes kept.", {"": athletes}),
        *_gauge(
            "outbox_mails",
            "Mails not yet sent, by state.",
            {_label("state", state): outbox.get(state, 0) for state in _STATES},
        ),
        *_gauge(
            "inbox_files",
            "Files of the inbox, by what came of them.",
            {_label("verdict", verdict): inbox.get(verdict, 0) for verdict in _VERDICTS},
        ),
        *_gauge(
            "tick_age_seconds",
            "Since each piece of the work last ended.",
            {
                _label("tick", name): round((visit.now - tick.at).total_seconds(), 1)
                for name, tick in ticks.items()
            },
        ),
        *_gauge(
            "tick_failing",
            "1 where a piece of the work ended badly.",
            {_label("tick", name): int(tick.trouble is not None) for name, tick in ticks.items()},
        ),
        *_gauge(
            "crew",
            "Processes of a crew that were seen within a minute, by role.",
            {_label("role", role): workers[role] for role in _ROLES},
        ),
        *_gauge(
            "sources_failing", f"Athletes' sources that fail, {_FAILING_SHOWN} at most.",
            {"": failing},
        ),
    ]  # fmt: skip
    return PlainTextResponse("\n".join(lines) + "\n", media_type=_PROMETHEUS)


def _shown_ticks(ticks: Mapping[str, Tick]) -> dict[str, Tick]:
    return {name: tick for name, tick in ticks.items() if name != WRITE_TICK}


def _gauge(name: str, help_text: str, values: Mapping[str, float]) -> list[str]:
    return [
        f"# HELP easeback_{name} {help_text}",
        f"# TYPE easeback_{name} gauge",
        *(f"easeback_{name}{label} {value}" for label, value in values.items()),
    ]


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{{{name}="{escaped}"}}'
