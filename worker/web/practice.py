"""The practice's pages: all athletes, the most urgent first; one athlete; and changes to them."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import RedirectResponse, Response

from worker.domain.contact import ContactError, checked_address, checked_name
from worker.domain.models import METRES_PER, Athlete, folder_name
from worker.domain.practice import (
    CONCERNS,
    AthleteStanding,
    Concern,
    PracticeRow,
    by_urgency,
    standing_of,
)
from worker.notify.words import Catalogue
from worker.pipeline.welcome import queue_welcome
from worker.store import NameTakenError, Transaction
from worker.web.athlete_view import athlete_view, listed_runs
from worker.web.context import PageError, WebContext
from worker.web.pages import own_names
from worker.web.practice_links import PracticeVisit
from worker.web.visits import LINK

log = logging.getLogger(__name__)

AT_ONCE = 50
"""The number of athletes on one page."""

_LONGEST_SEARCH = 80
_ANSWERS_SHOWN = 14


@dataclass(frozen=True, slots=True)
class _Asked:
    """The query for the list of athletes: a part of a name, one concern, a page."""

    name: str = ""
    concern: Concern | None = None
    page: int = 1

    def query(self, *, concern: Concern | None = None, page: int = 1) -> str:
        """The query string of the same search with another concern or page."""
        parts = {"name": self.name, "concern": concern or "", "page": "" if page == 1 else page}
        return "?" + urlencode({key: value for key, value in parts.items() if value})


@dataclass(frozen=True, slots=True)
class _Line:
    """One athlete of the list, with the catalogue for their units."""

    standing: AthleteStanding
    words: Catalogue

    @property
    def row(self) -> PracticeRow:
        return self.standing.row

    def day(self, at: datetime) -> date:
        """The athlete's local date of an instant."""
        return self.time(at).date()

    def time(self, at: datetime) -> datetime:
        """An instant in the athlete's local time."""
        return at.astimezone(ZoneInfo(self.row.timezone))


def show_everybody(web: WebContext, visit: PracticeVisit, *, trouble: str = "") -> Response:
    """One page of all athletes, or of those that match the query.

    `trouble` is the reason why an athlete couldn't be added.
    """
    asked = _asked(visit)
    with web.store.reading() as tx:
        rows = tx.practice.rows(visit.now)
    wanted = folder_name(asked.name)
    named = [row for row in rows if wanted in folder_name(row.name)] if wanted else rows
    standings = [standing_of(row, now=visit.now) for row in named]
    counts = Counter(concern for one in standings for concern in one.concerns)
    chosen = [one for one in standings if asked.concern is None or asked.concern in one.concerns]
    pages = max(1, -(-len(chosen) // AT_ONCE))
    page = min(asked.page, pages)
    first = (page - 1) * AT_ONCE
    return web.pages.show(
        "practice.html",
        status=400 if trouble else 200,
        locale=visit.locale,
        lines=_lines(web, visit, by_urgency(chosen)[first : first + AT_ONCE]),
        number=len(chosen),
        athletes=len(rows),
        asked=asked,
        counts={concern: counts[concern] for concern in CONCERNS if counts[concern]},
        all_of_name=len(standings),
        page=page,
        pages=pages,
        here=web.pages.root + visit.path,
        ends_at=_ends_at(visit),
        trouble=trouble,
        filled={field: visit.form.one(field) for field in ("name", "email")},
        languages=own_names(web.pages),
        language_chosen=visit.form.one("language") or visit.locale.language,
    )


def add_athlete_there(web: WebContext, visit: PracticeVisit) -> Response:
    """Add an athlete, and invite them with the first mail if that box is ticked."""
    form = visit.form
    language = next((one for one in web.pages.languages if one == form.one("language")), "")
    try:
        name, email = checked_name(form.one("name")), checked_address(form.one("email"))
    except ContactError as error:
        return show_everybody(web, visit, trouble=str(error))
    is_invited = form.one("invite") == "yes"
    if is_invited and (wait_s := web.invitations.wait_s("the practice", visit.now)):
        raise PageError(429, wait_s=wait_s)
    try:
        with web.store.transaction() as tx:
            zone = tx.athletes.usual_timezone()
            athlete = tx.athletes.add(Athlete(0, name, email, visit.now, zone, language=language))
            if is_invited:
                queue_welcome(tx, web.services, athlete, now=visit.now)
    except NameTakenError as error:
        return show_everybody(web, visit, trouble=str(error))
    log.info("web: %(who)s adds athlete %(athlete)d", {"who": visit.who, "athlete": athlete.id})
    done = "invited" if is_invited else "added"
    return RedirectResponse(f"{web.pages.root}{visit.path_of(athlete)}?{done}=yes", 303)


def show_patient(web: WebContext, visit: PracticeVisit) -> Response:
    """What the practice may see of one athlete."""
    with web.store.reading() as tx:
        athlete = _athlete(tx, visit)
        locale = visit.locale._replace(unit=athlete.units, clock=athlete.clock)
        row = tx.practice.row(athlete, visit.now)
        shown = athlete_view(web, tx, athlete, now=visit.now, locale=locale)
        listed = listed_runs(tx, athlete, shown)
        copies = tx.therapists.copies(athlete)
    standing = standing_of(row, now=visit.now)
    return web.pages.show(
        "practice_athlete.html",
        locale=locale,
        athlete=athlete,
        line=_Line(standing, web.pages.words(locale)),
        shown=shown,
        answers=shown.diary[:_ANSWERS_SHOWN],
        listed=listed,
        copies=copies,
        has_copies=web.services.copies_alerts,
        everybody=web.pages.root + visit.path,
        here=web.pages.root + visit.path_of(athlete),
        saved=visit.request.query_params.get("saved") == "yes",
        added=visit.request.query_params.get("added") == "yes",
        invited=visit.request.query_params.get("invited") == "yes",
    )


def pause_mails(web: WebContext, visit: PracticeVisit) -> Response:
    """Pause all mail to an athlete, or resume it."""
    since = visit.now if _said(visit, "pause") else None
    with web.store.transaction() as tx:
        athlete = _athlete(tx, visit)
        if (athlete.paused_at is None) != (since is None):
            tx.athletes.pause(athlete, since=since)
    return _saved(web, visit, athlete, "pauses mail" if since else "resumes mail")


def turn_copies(web: WebContext, visit: PracticeVisit) -> Response:
    """Turn copies of alerts on or off; they can only be on if the athlete agrees to them."""
    on = _said(visit, "copies")
    with web.store.transaction() as tx:
        athlete = _athlete(tx, visit)
        if on and tx.therapists.copies(athlete).agreed_at is None:
            raise PageError(400)
        tx.therapists.turn_copies(athlete, on=on)
    return _saved(web, visit, athlete, "wants copies" if on else "wants no copies")


def _asked(visit: PracticeVisit) -> _Asked:
    """The query of the request; invalid parts are ignored."""
    given = visit.request.query_params
    number = given.get("page", "")
    return _Asked(
        name=given.get("name", "").strip()[:_LONGEST_SEARCH],
        concern=next((one for one in CONCERNS if one == given.get("concern")), None),
        page=int(number) if number.isdecimal() and 0 < len(number) <= len("99999") else 1,
    )


def _lines(
    web: WebContext, visit: PracticeVisit, standings: Iterable[AthleteStanding]
) -> list[_Line]:
    spoken = {units: web.pages.words(visit.locale._replace(unit=units)) for units in METRES_PER}
    return [_Line(one, spoken[one.row.units]) for one in standings]


def _ends_at(visit: PracticeVisit) -> datetime | None:
    """When this link expires."""
    signed_at = visit.request.scope[LINK].signed_at
    return signed_at + visit.lives if signed_at else None


def _athlete(tx: Transaction, visit: PracticeVisit) -> Athlete:
    athlete = tx.athletes.by_link_id(visit.request.path_params["athlete"])
    if athlete is None:
        raise PageError(404)
    return athlete


def _said(visit: PracticeVisit, field: str) -> bool:
    """The value of a form's yes or no button; raises `PageError` for anything else."""
    said = visit.form.one(field)
    if said not in ("yes", "no"):
        raise PageError(400)
    return said == "yes"


def _saved(web: WebContext, visit: PracticeVisit, athlete: Athlete, does: str) -> Response:
    log.info(
        "web: %(who)s %(does)s about athlete %(athlete)d",
        {"who": visit.who, "does": does, "athlete": athlete.id},
    )
    return RedirectResponse(f"{web.pages.root}{visit.path_of(athlete)}?saved=yes", 303)
