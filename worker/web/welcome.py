"""The page behind the first mail: asks the athlete for language, time zone and other settings.

These are the settings of the athlete's page, asked once, followed by the way to connect a source.
"""

import logging
from dataclasses import replace

from starlette.responses import RedirectResponse, Response

from worker.domain.models import METRES_PER, PAIN_AREAS, WEEKDAYS
from worker.pipeline.edits import EditError
from worker.web.context import WebContext
from worker.web.fields import DIALS, WEEK_STARTS, race_in, with_choices, with_settings, zones
from worker.web.pages import own_names
from worker.web.visits import LINK, LinkVisit

log = logging.getLogger(__name__)

_OF_A_RACE = ("name", "date", "distance")


def show_welcome(web: WebContext, visit: LinkVisit) -> Response:
    return _page(web, visit)


def save_welcome(web: WebContext, visit: LinkVisit) -> Response:
    """Save the answers, and redirect to the athlete's page; invalid answers are asked for again."""
    athlete, form = visit.athlete, visit.form
    try:
        changed = with_settings(athlete, form, languages=web.pages.languages)
        if any(map(form.one, _OF_A_RACE)):
            changed = replace(changed, race=race_in(form, athlete.units))
    except EditError as error:
        return _page(web, visit, trouble=str(error), status=400)
    with web.store.transaction() as tx:
        tx.athletes.change(changed, now=visit.now)
        if "copies_asked" in form.fields:
            agreed_at = tx.therapists.copies(athlete).agreed_at
            if (agreed_at is not None) != (form.one("copies") == "yes"):
                since = visit.now if agreed_at is None else None
                tx.therapists.save_consent(athlete, agreed_at=since)
    log.info("web: athlete %(athlete)d answered the first questions", {"athlete": athlete.id})
    return RedirectResponse(f"{_page_of(web, visit)}?welcome=yes", 303)


def _page_of(web: WebContext, visit: LinkVisit) -> str:
    """The athlete's page, by a link as old as this one, so that no link can renew itself."""
    token = web.signer.token("athlete", visit.athlete, now=visit.request.scope[LINK].signed_at)
    return f"{web.pages.root}/athlete/{token}"


def _page(web: WebContext, visit: LinkVisit, *, trouble: str = "", status: int = 200) -> Response:
    athlete, form = visit.athlete, visit.form
    with web.store.reading() as tx:
        therapists = tx.therapists.all()
        copies = tx.therapists.copies(athlete)
    race = athlete.race
    known = {
        "name": race.name if race else "",
        "date": race.day.isoformat() if race else "",
        "distance": f"{race.distance_m / METRES_PER[athlete.units]:.8g}" if race else "",
    }
    return web.pages.show(
        "welcome.html",
        status=status,
        locale=visit.locale,
        athlete=athlete,
        languages=own_names(web.pages),
        here=web.pages.root + visit.request.scope["path"],
        page=_page_of(web, visit),
        connects=[one.client.title for one in web.services.sources.values()],
        # Answers are kept if another one in the form is invalid.
        race={name: form.one(name) or value for name, value in known.items()},
        asked=with_choices(athlete, form, languages=web.pages.languages) if trouble else athlete,
        at=form.one("at"),
        zone=form.one("timezone") or athlete.timezone,
        zones=zones(),
        areas=PAIN_AREAS,
        weekdays=WEEKDAYS,
        week_starts=WEEK_STARTS,
        dials=DIALS,
        trouble=trouble,
        therapists=therapists,
        has_copies=web.services.copies_alerts,
        agrees=form.one("copies") == "yes" if trouble else copies.agreed_at is not None,
    )
