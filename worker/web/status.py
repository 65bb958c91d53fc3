"""The operator's page, and the same figures for Prometheus.

Every figure is a count or has a maximum length, so neither page grows with the number of athletes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import RedirectResponse, Response

from worker import __version__
from worker.health import Audience, check_health, shown_ticks
from worker.metrics import counters
from worker.notify.render import Locale
from worker.store.outbox import STATES_IN_WORDS, State
from worker.web.context import WebContext
from worker.web.operator import is_operator, require_operator
from worker.web.visits import Visit

_FAILING_SHOWN = 50
_LIVE_WITHIN = timedelta(minutes=1)
_ROLES = ("worker", "web")
_STATES: tuple[State, ...] = ("queued", "claimed", "at_dot", "retry", "dead", "held")
_VERDICTS = ("waiting", "unread", "imported", "duplicate", "skipped", "failed")


def home(web: WebContext, visit: Visit) -> Response:
    """Redirect the operator to their page; others are told that their links are in their mails."""
    if is_operator(web, visit.request):
        return RedirectResponse(f"{web.pages.root}/status", 303)
    return web.pages.show("home.html", locale=visit.locale)


def status_page(web: WebContext, visit: Visit) -> Response:
    require_operator(web, visit.request)
    with web.store.reading() as tx:
        return web.pages.show(
            "status.html",
            locale=Locale(),  # the operator's pages are in English, like the commands
            version=__version__,
            now=visit.now,
            troubles=check_health(
                tx,
                visit.now,
                patience=web.patience,
                audience=Audience.STATUS,
                unusable=web.services.composer.unusable,
                works_elsewhere=web.store.works_elsewhere(),
                most=_FAILING_SHOWN,
            ),
            ticks=shown_ticks(tx.progress.ticks()),
            athletes=tx.athletes.count(),
            outbox=tx.outbox.counts(),
            states={state: STATES_IN_WORDS[state] for state in _STATES},
            inbox=tx.inbox.counts(),
            verdicts=_VERDICTS,
            failing=tx.progress.failing(most=_FAILING_SHOWN),
            failing_shown=_FAILING_SHOWN,
        )


def metrics(web: WebContext, visit: Visit) -> Response:
    """The counters of this process and the gauges that all processes share, for Prometheus."""
    require_operator(web, visit.request)
    shown = CollectorRegistry(auto_describe=False)
    shown.register(counters().registry)
    shown.register(_Gauges(tuple(_shared_gauges(web, visit.now))))
    encode, media_type = choose_encoder(visit.request.headers.get("accept", ""))
    return Response(encode(shown), headers={"content-type": media_type})


@dataclass(frozen=True, eq=False)
class _Gauges(Collector):
    """Gauges read for one scrape."""

    gauges: tuple[GaugeMetricFamily, ...]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self.gauges


def _shared_gauges(web: WebContext, now: datetime) -> Iterator[GaugeMetricFamily]:
    """The gauges read from the store, which are the same in every process."""
    with web.store.reading() as tx:
        troubles = check_health(tx, now, patience=web.patience, audience=Audience.READY)
        ticks = shown_ticks(tx.progress.ticks())
        outbox, inbox = tx.outbox.counts(), tx.inbox.counts()
        oldest_at = tx.outbox.oldest_waiting_at()
        athletes = tx.athletes.count()
        failing = len(tx.progress.failing(most=_FAILING_SHOWN))
        workers = Counter[str](one.role for one in tx.workers.living(within=_LIVE_WITHIN))
    oldest_s = max((now - oldest_at).total_seconds(), 0.0) if oldest_at else 0.0
    age_s = {name: round((now - one.at).total_seconds(), 1) for name, one in ticks.items()}
    yield _gauge("build_info", "Always 1; the label has the version.", "version", {__version__: 1})
    yield _gauge("ready", "1 if /readyz answers 200.", "", {"": not troubles})
    yield _gauge(
        "troubles",
        "Problems that make /readyz fail, by job or part.",
        "about",
        Counter(trouble.name for trouble in troubles),
    )
    yield _gauge("athletes", "Number of athletes.", "", {"": athletes})
    yield _gauge(
        "outbox_mails",
        "Mails that aren't sent yet, by state.",
        "state",
        {state: outbox.get(state, 0) for state in _STATES},
    )
    yield _gauge(
        "outbox_oldest_seconds",
        "How long the oldest mail has waited; 0 if none waits.",
        "",
        {"": oldest_s},
    )
    yield _gauge(
        "inbox_files",
        "Files in the inbox, by result.",
        "verdict",
        {verdict: inbox.get(verdict, 0) for verdict in _VERDICTS},
    )
    yield _gauge("tick_age_seconds", "Time since each job last ended.", "tick", age_s)
    yield _gauge(
        "tick_failing",
        "1 if the last run of a job failed.",
        "tick",
        {name: tick.trouble is not None for name, tick in ticks.items()},
    )
    yield _gauge(
        "crew",
        "With several workers, processes seen within a minute, by role.",
        "role",
        {role: workers[role] for role in _ROLES},
    )
    yield _gauge(
        "sources_failing",
        f"Failing connections of athletes, {_FAILING_SHOWN} at most.",
        "",
        {"": failing},
    )


def _gauge(name: str, told: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """A gauge with at most one label; without one, its only value has the key ""."""
    gauge = GaugeMetricFamily(f"easeback_{name}", told, labels=[label] if label else [])
    for value, number in values.items():
        gauge.add_metric([value] if label else [], float(number))
    return gauge
