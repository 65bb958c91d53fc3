"""The operator's page, and the same figures for Prometheus.

Every figure is a count or has a bound on its length: neither page grows with the athletes.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from worker import __version__
from worker.health import Audience, check_health, shown_ticks
from worker.notify.render import Locale
from worker.store import STATES_IN_WORDS, State
from worker.web.context import WebContext
from worker.web.operator import is_operator, require_operator
from worker.web.visits import Visit

_FAILING_SHOWN = 50
_LIVE_WITHIN = timedelta(minutes=1)
_ROLES = ("worker", "web")
_STATES: tuple[State, ...] = ("queued", "claimed", "at_dot", "retry", "dead", "held")
_VERDICTS = ("waiting", "unread", "imported", "duplicate", "skipped", "failed")
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def home(web: WebContext, visit: Visit) -> Response:
    """Leads the operator to their page; everybody else reads that theirs are in their mails."""
    if is_operator(web, visit.request):
        return RedirectResponse(f"{web.pages.root}/status", 303)
    return web.pages.show("home.html", locale=visit.locale)


def status_page(web: WebContext, visit: Visit) -> Response:
    require_operator(web, visit.request)
    with web.store.reading() as tx:
        return web.pages.show(
            "status.html",
            locale=Locale(),  # the operator reads English, as in the commands
            version=__version__,
            now=visit.now,
            troubles=check_health(
                tx,
                visit.now,
                patience=web.ticks,
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
    """Gauges in Prometheus' text format."""
    require_operator(web, visit.request)
    with web.store.reading() as tx:
        troubles = check_health(tx, visit.now, patience=web.ticks, audience=Audience.READY)
        ticks = shown_ticks(tx.progress.ticks())
        outbox, inbox = tx.outbox.counts(), tx.inbox.counts()
        athletes = tx.athletes.count()
        failing = len(tx.progress.failing(most=_FAILING_SHOWN))
        workers = Counter[str](one.role for one in tx.workers.living(within=_LIVE_WITHIN))
    age_s = {name: round((visit.now - one.at).total_seconds(), 1) for name, one in ticks.items()}
    gauges: tuple[tuple[str, str, str, Mapping[str, float]], ...] = (
        ("build_info", "The version that runs.", "version", {__version__: 1}),
        ("ready", "1 where the work goes on.", "", {"": not troubles}),
        ("athletes", "Athletes kept.", "", {"": athletes}),
        ("outbox_mails", "Mails not yet sent, by state.", "state",
         {state: outbox.get(state, 0) for state in _STATES}),
        ("inbox_files", "Files of the inbox, by what came of them.", "verdict",
         {verdict: inbox.get(verdict, 0) for verdict in _VERDICTS}),
        ("tick_age_seconds", "Since each piece of the work last ended.", "tick", age_s),
        ("tick_failing", "1 where a piece of the work ended badly.", "tick",
         {name: tick.trouble is not None for name, tick in ticks.items()}),
        ("crew", "Processes of a crew that were seen within a minute, by role.", "role",
         {role: workers[role] for role in _ROLES}),
        ("sources_failing", f"Athletes' sources that fail, {_FAILING_SHOWN} at most.", "",
         {"": failing}),
    )  # fmt: skip
    lines = []
    for name, told, label, values in gauges:
        lines += [f"# HELP easeback_{name} {told}", f"# TYPE easeback_{name} gauge"]
        for value, number in values.items():
            escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            of = f'{{{label}="{escaped}"}}' if label else ""
            lines.append(f"easeback_{name}{of} {+number}")
    return PlainTextResponse("\n".join(lines) + "\n", media_type=_PROMETHEUS)
