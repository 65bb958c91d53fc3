"""Check-in: how it feels. GET shows a form with the mail's answer chosen; POST keeps it."""

import logging

from starlette.responses import Response

from worker import checkins
from worker.checkins import CheckIn, Feels
from worker.model import PAIN_AREAS, Athlete
from worker.web.desk import Desk, RefusedError, Visit, opened, today
from worker.web.forms import Form
from worker.web.pages import chosen

log = logging.getLogger(__name__)


def show(desk: Desk, visit: Visit) -> Response:
    athlete, payload = opened(desk, visit, "checkin")
    feels = payload.get("feels")
    return desk.pages.show(
        "checkin.html",
        athlete=athlete,
        day=today(athlete, visit.now),
        feels=feels if feels in checkins.FEELS else "",
        areas=PAIN_AREAS,
        worst=checkins.WORST,
        emergencies=checkins.EMERGENCIES,
        be_seen=checkins.BE_SEEN,
    )


def keep(desk: Desk, visit: Visit) -> Response:
    """Keep the answer, and with it where it hurts: the next routine is chosen by that."""
    athlete, _ = opened(desk, visit, "checkin")
    answer = _answer(visit.form, athlete, visit)
    areas = chosen(visit.form.all("area"), PAIN_AREAS)
    with desk.store.transaction() as tx:
        tx.checkins.keep(athlete, answer, now=visit.now)
        if areas != athlete.pain:
            tx.athletes.hurt_in(athlete, areas)
        diary = tx.checkins.since(athlete, answer.day - checkins.FORTNIGHT)
    advice = checkins.advise(diary, today=answer.day)
    log.info(
        "web: check-in of athlete %(athlete)d: %(state)s",
        {"athlete": athlete.id, "state": advice.state},
    )
    return desk.pages.show(
        "checked_in.html",
        athlete=athlete,
        answer=answer,
        areas=areas,
        advice=advice,
        again=visit.request.url.path,
    )


def _answer(form: Form, athlete: Athlete, visit: Visit) -> CheckIn:
    feels = _feels(form.one("feels"))
    level = form.one("level")
    if level and not (level.isascii() and level.isdecimal() and int(level) <= checkins.WORST):
        raise RefusedError(400)
    return CheckIn(
        day=today(athlete, visit.now),
        feels=feels,
        areas=() if feels == "fine" else chosen(form.all("area"), PAIN_AREAS),
        level=int(level) if level else None,
        flags=chosen(form.all("flag"), checkins.RED_FLAGS),
    )


def _feels(said: str) -> Feels:
    for feels in checkins.FEELS:
        if said == feels:
            return feels
    raise RefusedError(400)
