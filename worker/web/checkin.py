"""Check-in: how it feels. GET shows a form with the mail's answer selected; POST saves it."""

import logging
from collections.abc import Sequence
from datetime import date

from starlette.responses import Response

from worker.domain import checkins
from worker.domain.checkins import CheckIn
from worker.domain.models import PAIN_AREAS
from worker.domain.weeks import local_day
from worker.notify.render import clean
from worker.pipeline.red_flags import Watcher, tell_of_red_flags, watchers
from worker.web.context import PageError, WebContext
from worker.web.forms import Form
from worker.web.pages import chosen
from worker.web.visits import LinkVisit

log = logging.getLogger(__name__)


def show_checkin(web: WebContext, visit: LinkVisit) -> Response:
    feels = visit.more.get("feels")
    with web.store.reading() as tx:
        told = _names(watchers(tx, web.services, visit.athlete))
    return web.pages.show(
        "checkin.html",
        locale=visit.locale,
        athlete=visit.athlete,
        day=local_day(visit.athlete, visit.now),
        feels=feels if feels in checkins.FEELS else "",
        areas=PAIN_AREAS,
        worst=checkins.WORST,
        emergencies=checkins.EMERGENCIES,
        be_seen=checkins.BE_SEEN,
        watchers=told,
    )


def save_checkin(web: WebContext, visit: LinkVisit) -> Response:
    """Save the answer and the areas of pain, which select the next routine.

    Red flags are reported to those who look after the athlete, if the settings name any.
    """
    athlete, form = visit.athlete, visit.form
    answer = _answer(form, local_day(athlete, visit.now))
    areas = chosen(form.all("area"), PAIN_AREAS)
    with web.store.transaction() as tx:
        tx.checkins.save(athlete, answer, now=visit.now)
        if areas != athlete.pain:
            tx.athletes.save_pain(athlete, areas)
        tell_of_red_flags(tx, web.services, athlete, answer, now=visit.now)
        told = _names(watchers(tx, web.services, athlete))
        diary = tx.checkins.since(athlete, answer.day - checkins.FORTNIGHT)
    advice = checkins.advise(diary, today=answer.day)
    log.info(
        "web: check-in of athlete %(athlete)d: %(state)s",
        {"athlete": athlete.id, "state": advice.state},
    )
    return web.pages.show(
        "checked_in.html",
        locale=visit.locale,
        answer=answer,
        areas=areas,
        advice=advice,
        watchers=told,
        again=web.pages.root + visit.request.scope["path"],
    )


def _names(told: Sequence[Watcher]) -> str:
    """The names of those to whom red flags are reported, as the page shows them."""
    return ", ".join(clean(one.name) for one in told)


def _answer(form: Form, day: date) -> CheckIn:
    """The form's check-in; raises `PageError` if it is invalid."""
    feels = next((one for one in checkins.FEELS if one == form.one("feels")), None)
    level = form.one("level")
    is_level = level in map(str, range(checkins.WORST + 1))
    if feels is None or (level and not is_level):
        raise PageError(400)
    return CheckIn(
        day=day,
        feels=feels,
        areas=() if feels == "fine" else chosen(form.all("area"), PAIN_AREAS),
        level=int(level) if level else None,
        flags=chosen(form.all("flag"), checkins.RED_FLAGS),
    )
