"""Today's routine, with its pictures, on a page that prints on one sheet."""

from datetime import timedelta

from starlette.responses import Response

from worker.domain import checkins, routine
from worker.domain.checkins import FORTNIGHT
from worker.domain.weeks import local_day
from worker.notify.render import routine_context
from worker.web.context import WebContext
from worker.web.visits import LinkVisit

_SEVERITY_DAYS = timedelta(days=7)
"""How long a finding influences the choice of steps, as in the weekly mail."""


def show_routine(web: WebContext, visit: LinkVisit) -> Response:
    """The steps for the athlete's pain and last findings; none if they should see a clinician."""
    athlete = visit.athlete
    day = local_day(athlete, visit.now)
    with web.store.reading() as tx:
        advice = checkins.advise(tx.checkins.since(athlete, day - FORTNIGHT), today=day)
        found = tx.findings.standing(athlete, since=day - _SEVERITY_DAYS)
    severity = max((one.finding.severity for one in found), default=1)
    steps = routine.prescribe(web.services.routines, pain=athlete.pain, severity=severity)
    here = web.pages.root + visit.athlete_path
    known = web.pages.words(visit.locale).area_names
    return web.pages.show(
        "routine.html",
        locale=visit.locale,
        athlete=athlete,
        day=day,
        advice=advice,
        areas=[area for area in athlete.pain if area in known],
        pictures=web.pages.pictures,
        here=here,
        checkin=f"{web.pages.root}/checkin/{web.signer.token('checkin', athlete, now=visit.now)}",
        **routine_context(() if advice.stops_runs else steps, visit.locale.language),
    )
