"""The athlete's own page: what is known, what was said, what can be changed, taken, deleted."""

import logging
from dataclasses import replace
from datetime import time
from functools import partial

from starlette.responses import RedirectResponse, Response

from worker.model import METRES_PER, PAIN_AREAS, WEEKDAYS, Athlete, Dial, MailKind, WeeklyHour
from worker.sources import SourceError
from worker.sources.garmin.grants import KEY_LIVES_DAYS
from worker.web import takeout
from worker.web.desk import Desk, RefusedError, Visit, local, opened, today
from worker.web.forms import Form
from worker.web.pages import chosen
from worker.web.portrait import portrait

log = logging.getLogger(__name__)

_CHOOSABLE: tuple[MailKind, ...] = ("alert", "weekly")
_WEEK_STARTS = {"monday": 0, "sunday": 6}
_DIALS: tuple[Dial, ...] = ("24", "12")


def show(desk: Desk, visit: Visit) -> Response:
    athlete, _ = opened(desk, visit, "athlete")
    return _page(desk, visit, athlete, saved=visit.request.query_params.get("saved") == "yes")


def settings(desk: Desk, visit: Visit) -> Response:
    """Keep the settings of the form: a box that isn't ticked is a no."""
    athlete, _ = opened(desk, visit, "athlete")
    changed = _changed(athlete, visit.form)
    with desk.store.transaction() as tx:
        tx.athletes.change(changed, now=visit.now)
    log.info("web: athlete %(athlete)d changed settings", {"athlete": athlete.id})
    return RedirectResponse(f"/athlete/{visit.token}?saved=yes", 303)


def forget(desk: Desk, visit: Visit) -> Response:
    """Delete everything about the athlete, where the box was ticked."""
    athlete, _ = opened(desk, visit, "athlete")
    if desk.forget is None:
        raise RefusedError(404)
    if visit.form.one("sure") != "yes":
        return _page(desk, visit, athlete, unsure=True, status=400)
    desk.forget(athlete)
    log.info("web: athlete %(athlete)d deleted everything", {"athlete": athlete.id})
    return desk.pages.show("forgotten.html")


def disconnect(desk: Desk, visit: Visit) -> Response:
    """Give up a source that can be connected."""
    athlete, _ = opened(desk, visit, "athlete")
    known = (*desk.connects, *(("garmin",) if desk.give_key else ()))
    source = next((one for one in known if one == visit.form.one("source")), None)
    if desk.disconnect is None or source is None:
        raise RefusedError(404)
    desk.disconnect(athlete, source)
    log.info(
        "web: athlete %(athlete)d disconnected %(source)s",
        {"athlete": athlete.id, "source": source},
    )
    return RedirectResponse(f"/athlete/{visit.token}?saved=yes", 303)


def close_links(desk: Desk, visit: Visit) -> Response:
    """Close every link that was made until now, this visit's too.

    No fresh one is shown: it would let whoever has a link keep the door open for ever. The next
    mail brings one to whom it belongs.
    """
    athlete, _ = opened(desk, visit, "athlete")
    with desk.store.transaction() as tx:
        tx.athletes.close_links(athlete, now=visit.now)
    log.info("web: athlete %(athlete)d closed older links", {"athlete": athlete.id})
    return desk.pages.show("links_closed.html", weekly="weekly" in athlete.wants)


def garmin(desk: Desk, visit: Visit) -> Response:
    """Try a key to Garmin, and keep it; one that doesn't work is said on the page."""
    athlete, _ = opened(desk, visit, "athlete")
    if desk.give_key is None:
        raise RefusedError(404)
    try:
        desk.give_key(athlete, visit.form.one("garmin_key"), visit.form.one("expires"))
    except SourceError as error:
        log.info("web: athlete %(athlete)d gave a key that doesn't work", {"athlete": athlete.id})
        trouble = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return _page(desk, visit, athlete, key_trouble=trouble, status=400)
    log.info("web: athlete %(athlete)d connected Garmin", {"athlete": athlete.id})
    return RedirectResponse(f"/athlete/{visit.token}?saved=yes", 303)


def as_json(desk: Desk, visit: Visit) -> Response:
    athlete, _ = opened(desk, visit, "athlete")
    with desk.store.reading() as tx:
        content = takeout.as_json(takeout.everything(tx, athlete))
    return _download(content, "easeback.json", "application/json")


def as_zip(desk: Desk, visit: Visit) -> Response:
    athlete, _ = opened(desk, visit, "athlete")
    with desk.store.reading() as tx:
        content = takeout.as_zip(takeout.everything(tx, athlete))
    return _download(content, "easeback.zip", "application/zip")


def _page(
    desk: Desk,
    visit: Visit,
    athlete: Athlete,
    *,
    saved: bool = False,
    unsure: bool = False,
    key_trouble: str = "",
    status: int = 200,
) -> Response:
    with desk.store.reading() as tx:
        shown = portrait(desk, tx, athlete, now=visit.now)
        key = tx.garmin.grant(athlete)
    named = {"athlete": athlete.id}
    return desk.pages.show(
        "athlete.html",
        status=status,
        units=athlete.units,
        clock=athlete.clock,
        rules=desk.rules,
        athlete=athlete,
        shown=shown,
        here_at=partial(local, athlete),
        here=f"/athlete/{visit.token}",
        checkin=_path(desk, desk.signer.sign("checkin", named, now=visit.now)),
        connect=_path(desk, desk.signer.sign("connect", named, now=visit.now)),
        connects=desk.connects,
        can_disconnect=desk.disconnect is not None,
        can_forget=desk.forget is not None,
        takes_key=desk.give_key is not None,
        key_lives=KEY_LIVES_DAYS,
        key_ends_on=today(athlete, key.key_expires_at) if key else None,
        key_is_dead=key is not None and key.dead_since is not None,
        key_trouble=key_trouble,
        saved=saved,
        unsure=unsure,
        areas=PAIN_AREAS,
        kinds=_CHOOSABLE,
        weekdays=WEEKDAYS,
        week_starts=_WEEK_STARTS,
        dials=_DIALS,
    )


def _path(desk: Desk, address: str) -> str:
    """A signed address within this site: the visitor may know it by another name than we do."""
    return address.removeprefix(desk.base_url.rstrip("/"))


def _changed(athlete: Athlete, form: Form) -> Athlete:
    others = athlete.wants - set(_CHOOSABLE)
    units = next((one for one in METRES_PER if one == form.one("units")), athlete.units)
    return replace(
        athlete,
        wants=others | set(chosen(form.all("wants"), _CHOOSABLE)),
        units=units,
        clock=next((one for one in _DIALS if one == form.one("clock")), athlete.clock),
        week_starts=_WEEK_STARTS.get(form.one("week_starts"), athlete.week_starts),
        weekly=_weekly(athlete, form),
        pain=chosen(form.all("area"), PAIN_AREAS),
    )


def _weekly(athlete: Athlete, form: Form) -> WeeklyHour:
    day, at = form.one("weekday"), form.one("at")
    if not day and not at:
        return athlete.weekly
    try:
        return WeeklyHour(WEEKDAYS.index(day), time.fromisoformat(at).replace(second=0))
    except ValueError as error:
        raise RefusedError(400) from error


def _download(content: bytes, name: str, media_type: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, 200, headers, media_type)
