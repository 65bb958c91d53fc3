"""The athlete's own page: what is known, what was mailed, what can be changed or taken."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

from starlette.responses import RedirectResponse, Response

from worker.domain.models import (
    METRES_PER,
    PAIN_AREAS,
    WEEKDAYS,
    Athlete,
    Dial,
    MailKind,
    SourceName,
    WeeklyHour,
)
from worker.domain.weeks import local_time
from worker.pipeline.credentials import connect_with_key, disconnect_athlete
from worker.pipeline.forget import forget_athlete
from worker.sources import SourceError
from worker.sources.base import ApiKey, Source
from worker.web.athlete_view import athlete_view
from worker.web.context import PageError, WebContext
from worker.web.export import export, export_json, export_zip
from worker.web.forms import Form
from worker.web.pages import chosen
from worker.web.visits import LinkVisit

log = logging.getLogger(__name__)

_CHOOSABLE: tuple[MailKind, ...] = ("alert", "weekly")
_WEEK_STARTS = {"monday": 0, "sunday": 6}
_DIALS: tuple[Dial, ...] = ("24", "12")


def show_athlete(web: WebContext, visit: LinkVisit) -> Response:
    return _page(web, visit, saved=visit.request.query_params.get("saved") == "yes")


def save_settings(web: WebContext, visit: LinkVisit) -> Response:
    """Saves the settings of the form: a box that isn't ticked is a no."""
    changed = _changed(visit.athlete, visit.form)
    with web.store.transaction() as tx:
        tx.athletes.change(changed, now=visit.now)
    return _saved(visit, "web: athlete %(athlete)d changed settings")


def forget_everything(web: WebContext, visit: LinkVisit) -> Response:
    """Deletes everything about the athlete, where the box was ticked."""
    if visit.form.one("sure") != "yes":
        return _page(web, visit, unsure=True, status=400)
    forget_athlete(web.services, visit.athlete, mailbox=web.mailbox, now=visit.now)
    _log(visit, "web: athlete %(athlete)d deleted everything")
    return web.pages.show("forgotten.html")


def disconnect_source(web: WebContext, visit: LinkVisit) -> Response:
    """Disconnects one of the sources that can be connected."""
    source = _service(web, visit.form.one("source")).name
    disconnect_athlete(web.services, source, visit.athlete, now=visit.now)
    return _saved(visit, "web: athlete %(athlete)d disconnected %(source)s", source=source)


def close_links(web: WebContext, visit: LinkVisit) -> Response:
    """Closes every link that was made until now, this visit's too.

    No new one is shown: whoever has a link could renew it for ever. The next mail brings one to
    the athlete.
    """
    with web.store.transaction() as tx:
        tx.athletes.close_links(visit.athlete, now=visit.now)
    _log(visit, "web: athlete %(athlete)d closed older links")
    return web.pages.show("links_closed.html", weekly="weekly" in visit.athlete.wants)


def save_key(web: WebContext, visit: LinkVisit) -> Response:
    """Tries a key to a service and saves it; where it doesn't work, the page says so."""
    service = _service(web, visit.request.path_params["source"])
    key, expires = visit.form.one(f"{service.name}_key"), visit.form.one("expires")
    try:
        connect_with_key(
            web.services, service.name, visit.athlete, web.clock, key=key, expires=expires
        )
    except SourceError as error:
        _log(visit, "web: athlete %(athlete)d gave a key that doesn't work")
        trouble = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return _page(web, visit, key_troubles={service.name: trouble}, status=400)
    return _saved(visit, "web: athlete %(athlete)d connected %(service)s", service=service.title)


def download_json(web: WebContext, visit: LinkVisit) -> Response:
    with web.store.reading() as tx:
        content = export_json(export(tx, visit.athlete))
    return _download(content, "easeback.json", "application/json")


def download_zip(web: WebContext, visit: LinkVisit) -> Response:
    with web.store.reading() as tx:
        content = export_zip(export(tx, visit.athlete))
    return _download(content, "easeback.zip", "application/zip")


def _service(web: WebContext, name: str) -> Source:
    """The service of this name that is on; raises `PageError` where there's none."""
    for one in web.services.sources.values():
        if one.client.name == name:
            return one.client
    raise PageError(404)


def _log(visit: LinkVisit, event: str, **fields: str) -> None:
    log.info(event, {"athlete": visit.athlete.id, **fields})


def _saved(visit: LinkVisit, event: str, **fields: str) -> Response:
    """Logs a change, and leads back to the page."""
    _log(visit, event, **fields)
    return RedirectResponse(f"{visit.athlete_path}?saved=yes", 303)


def _page(
    web: WebContext,
    visit: LinkVisit,
    *,
    saved: bool = False,
    unsure: bool = False,
    key_troubles: Mapping[SourceName, str] = MappingProxyType({}),
    status: int = 200,
) -> Response:
    athlete = visit.athlete
    clients = [one.client for one in web.services.sources.values()]
    with web.store.reading() as tx:
        shown = athlete_view(web, tx, athlete, now=visit.now)
        keys = [
            (one, tx.source(one.name).credential(athlete))
            for one in clients
            if isinstance(one, ApiKey)
        ]
    return web.pages.show(
        "athlete.html",
        status=status,
        units=athlete.units,
        clock=athlete.clock,
        rules=web.rules,
        athlete=athlete,
        shown=shown,
        here_at=partial(local_time, athlete),
        here=visit.athlete_path,
        checkin=f"/checkin/{web.signer.token('checkin', athlete, now=visit.now)}",
        connects={
            one.name: "/connect/"
            + web.signer.token("connect", athlete, now=visit.now, source=one.name)
            for one in clients
            if not isinstance(one, ApiKey)
        },
        keys=keys,
        key_troubles=key_troubles,
        saved=saved,
        unsure=unsure,
        areas=PAIN_AREAS,
        kinds=_CHOOSABLE,
        weekdays=WEEKDAYS,
        week_starts=_WEEK_STARTS,
        dials=_DIALS,
    )


def _changed(athlete: Athlete, form: Form) -> Athlete:
    """The athlete with the form's settings; a word that isn't known leaves its setting as it was.

    Raises `PageError` for an hour of the weekly mail that is none.
    """
    weekly, day, at = athlete.weekly, form.one("weekday"), form.one("at")
    if day or at:
        try:
            hour = datetime.strptime(at, "%H:%M").time()  # noqa: DTZ007  on the athlete's clock
            weekly = WeeklyHour(WEEKDAYS.index(day), hour)
        except ValueError as error:
            raise PageError(400) from error
    return replace(
        athlete,
        wants=athlete.wants - set(_CHOOSABLE) | set(chosen(form.all("wants"), _CHOOSABLE)),
        units=next((one for one in METRES_PER if one == form.one("units")), athlete.units),
        clock=next((one for one in _DIALS if one == form.one("clock")), athlete.clock),
        week_starts=_WEEK_STARTS.get(form.one("week_starts"), athlete.week_starts),
        weekly=weekly,
        pain=chosen(form.all("area"), PAIN_AREAS),
    )


def _download(content: bytes, name: str, media_type: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, 200, headers, media_type)
