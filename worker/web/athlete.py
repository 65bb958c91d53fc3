"""The athlete's own page: what is known, what was mailed, what can be changed or downloaded."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from functools import partial
from http import HTTPStatus
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, Any

from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from worker.domain.contact import ContactError
from worker.domain.models import METRES_PER, PAIN_AREAS, WEEKDAYS, Athlete, MailKind
from worker.domain.weeks import local_time, told_days_after
from worker.pipeline.contact import ask_for_address, rename
from worker.pipeline.credentials import connect_with_key, disconnect_athlete
from worker.pipeline.edits import EditError, add_run, correct_run, exclude_run, include_run
from worker.pipeline.forget import forget_athlete
from worker.pipeline.uploads import LARGEST_UPLOAD_BYTES
from worker.sources.base import ApiKey, Source, SourceError
from worker.web.athlete_view import athlete_view, listed_runs
from worker.web.context import PageError, WebContext
from worker.web.export import export, write_json, write_zip
from worker.web.fields import (
    CHOOSABLE,
    DIALS,
    WEEK_STARTS,
    decimal,
    distance_m,
    parsed,
    race_in,
    row_id,
    start_of,
    with_choices,
    with_settings,
)
from worker.web.pages import chosen, own_names
from worker.web.visits import LINK_LIVES, LinkVisit

log = logging.getLogger(__name__)

_FORMS = ("run", "upload", "race", "settings", "contact")
_PIECE = 65_536


def show_athlete(web: WebContext, visit: LinkVisit) -> Response:
    return athlete_page(web, visit)


def save_settings(web: WebContext, visit: LinkVisit) -> Response:
    """Save the settings in the form. A box that isn't ticked means no."""
    try:
        changed = with_settings(visit.athlete, visit.form, languages=web.pages.languages)
    except EditError as error:
        return athlete_page(web, visit, troubles={"settings": str(error)}, status=400)
    with web.store.transaction() as tx:
        tx.athletes.change(replace(changed, wants=_wants(visit)), now=visit.now)
    return _saved(web, visit, "web: athlete %(athlete)d changed settings")


def _wants(visit: LinkVisit) -> frozenset[MailKind]:
    """The wanted mails by the form, which has those that can be turned off."""
    return visit.athlete.wants - set(CHOOSABLE) | set(chosen(visit.form.all("wants"), CHOOSABLE))


def _asked(web: WebContext, visit: LinkVisit) -> Athlete:
    """The athlete with what was chosen in the form."""
    choices = with_choices(visit.athlete, visit.form, languages=web.pages.languages)
    return replace(choices, wants=_wants(visit))


def save_contact(web: WebContext, visit: LinkVisit) -> Response:
    """Save the name, and send a request for confirmation to a new address."""
    who, form = visit.athlete, visit.form
    try:
        with web.store.transaction() as tx:
            tx.athletes.hold(who)
            rename(tx, who, form.one("name"))
            ask_for_address(tx, web.services, who, form.one("address"), now=visit.now)
    except ContactError as error:
        return athlete_page(web, visit, troubles={"contact": str(error)}, status=400)
    return _saved(web, visit, "web: athlete %(athlete)d changed name or address", at="contact")


def save_language(web: WebContext, visit: LinkVisit) -> Response:
    """Save the language, which also applies to mails."""
    language = visit.form.one("language")
    if language not in web.pages.languages:
        raise PageError(400)
    with web.store.transaction() as tx:
        tx.athletes.save_language(visit.athlete, language)
    return _saved(web, visit, "web: athlete %(athlete)d chose a language")


def save_consent(web: WebContext, visit: LinkVisit) -> Response:
    """Save whether the practice may get copies of alerts."""
    agrees = visit.form.one("agree")
    if agrees not in ("yes", "no"):
        raise PageError(400)
    with web.store.transaction() as tx:
        agreed_at = visit.now if agrees == "yes" else None
        tx.therapists.save_consent(visit.athlete, agreed_at=agreed_at)
    return _saved(web, visit, "web: athlete %(athlete)d says %(agrees)s to copies", agrees=agrees)


def resume_mails(web: WebContext, visit: LinkVisit) -> Response:
    """End the pause of the athlete's mail."""
    with web.store.transaction() as tx:
        tx.athletes.pause(visit.athlete, since=None)
    return _saved(web, visit, "web: athlete %(athlete)d resumes mail")


def save_race(web: WebContext, visit: LinkVisit) -> Response:
    """Save the race of the plan, or that there is none."""
    race = None
    if visit.form.one("none") != "yes":
        try:
            race = race_in(visit.form, visit.athlete.units)
        except EditError as error:
            return athlete_page(web, visit, troubles={"race": str(error)}, status=400)
    with web.store.transaction() as tx:
        tx.athletes.change(replace(visit.athlete, race=race), now=visit.now)
    return _saved(web, visit, "web: athlete %(athlete)d changed the race")


def forget_everything(web: WebContext, visit: LinkVisit) -> Response:
    """Delete everything about the athlete, if the box was ticked."""
    if visit.form.one("sure") != "yes":
        return athlete_page(web, visit, unsure=True, status=400)
    forget_athlete(web.services, visit.athlete, data_dir=web.data_dir, now=visit.now)
    _log(visit, "web: athlete %(athlete)d deleted everything")
    return web.pages.show("forgotten.html", locale=visit.locale)


def disconnect_source(web: WebContext, visit: LinkVisit) -> Response:
    """Disconnect a source, if it is connected."""
    source = _service(web, visit.form.one("source")).name
    with web.store.reading() as tx:
        state = tx.progress.sources(visit.athlete).get(source)
        is_off = (state is None or state.state == "off") and (
            tx.source(source).credential(visit.athlete) is None
        )
    if is_off:
        return RedirectResponse(web.pages.root + visit.athlete_path, 303)
    disconnect_athlete(web.services, source, visit.athlete, now=visit.now)
    return _saved(web, visit, "web: athlete %(athlete)d disconnected %(source)s", source=source)


def close_links(web: WebContext, visit: LinkVisit) -> Response:
    """Close every link made until now, including the link of this visit.

    No new link is shown, because anybody who has a link could renew it for ever. The next mail to
    the athlete contains one.
    """
    with web.store.transaction() as tx:
        tx.athletes.close_links(visit.athlete, now=visit.now)
    _log(visit, "web: athlete %(athlete)d closed older links")
    return web.pages.show(
        "links_closed.html", locale=visit.locale, weekly="weekly" in visit.athlete.wants
    )


def close_calendar(web: WebContext, visit: LinkVisit) -> Response:
    """Close the calendar's link; the page shows the new one.

    Anybody with a link to the page sees the new one too, unless the athlete closes all links.
    """
    with web.store.transaction() as tx:
        tx.athletes.close_calendar(visit.athlete, now=visit.now)
    return _saved(web, visit, "web: athlete %(athlete)d closed the link to the calendar")


def save_key(web: WebContext, visit: LinkVisit) -> Response:
    """Test a key to a service and save it. If it doesn't work, the page says so."""
    service = _service(web, visit.request.path_params["source"])
    key, expires = visit.form.one(f"{service.name}_key"), visit.form.one("expires")
    try:
        connect_with_key(
            web.services, service.name, visit.athlete, web.clock, key=key, expires=expires
        )
    except SourceError as error:
        _log(visit, "web: athlete %(athlete)d gave a key that doesn't work")
        return athlete_page(web, visit, troubles={service.name: str(error)}, status=400)
    return _saved(
        web, visit, "web: athlete %(athlete)d connected %(service)s", service=service.title
    )


def edit_run(web: WebContext, visit: LinkVisit) -> Response:
    """Exclude, include, correct or add a run. If that isn't possible, the page says so."""
    edit, form = visit.request.path_params["edit"], visit.form
    who, now, services = visit.athlete, visit.now, web.services
    try:
        if edit == "add":
            minutes = form.one("minutes")
            stored = add_run(
                services,
                who,
                day=parsed(date.fromisoformat, form.one("date"), "a date"),
                distance_m=distance_m(form, who.units),
                minutes=parsed(decimal, minutes, "a number of minutes") if minutes else None,
                start=start_of(form),
                now=now,
            )
        else:
            run_id = parsed(row_id, form.one("run"), "a run")
            if edit == "exclude":
                stored = exclude_run(services, who, run_id, by="athlete", now=now)
            elif edit == "include":
                stored = include_run(services, who, run_id, now=now)
            elif edit == "correct":
                metres = distance_m(form, who.units)
                stored = correct_run(
                    services, who, run_id, distance_m=metres, by="athlete", now=now
                )
            else:
                raise PageError(404)
    except EditError as error:
        return athlete_page(web, visit, troubles={"run": str(error)}, status=400)
    _log(visit, "web: athlete %(athlete)d edited a run: %(edit)s", edit=edit)
    page = f"{web.pages.root}{visit.athlete_path}"
    return RedirectResponse(f"{page}?saved=yes#run-{stored.run.id}", 303)


def download_json(web: WebContext, visit: LinkVisit) -> Response:
    return _download(web, visit, write_json, "json")


def download_zip(web: WebContext, visit: LinkVisit) -> Response:
    return _download(web, visit, write_zip, "zip")


def _service(web: WebContext, name: str) -> Source:
    """The service of this name; raises `PageError` if there is none that is on."""
    found = web.services.sources.get(name)
    if found is None:
        raise PageError(404)
    return found.client


def _log(visit: LinkVisit, event: str, **fields: str) -> None:
    log.info(event, {"athlete": visit.athlete.id, **fields})


def _saved(
    web: WebContext, visit: LinkVisit, event: str, *, at: str = "", **fields: str
) -> Response:
    """Log a change, and redirect to the page, or to its section `at`."""
    _log(visit, event, **fields)
    return RedirectResponse(f"{web.pages.root}{visit.athlete_path}?saved=yes{at and f'#{at}'}", 303)


def athlete_page(
    web: WebContext,
    visit: LinkVisit,
    *,
    unsure: bool = False,
    troubles: Mapping[str, str] = MappingProxyType({}),
    status: int = 200,
) -> Response:
    """The page, with the result of a form.

    `troubles` has the error of a form by its name: one of `_FORMS`, or a service.
    """
    done = visit.request.query_params if status == HTTPStatus.OK else {}
    athlete = visit.athlete
    lives = LINK_LIVES["athlete"]
    clients = [one.client for one in web.services.sources.values()]
    with web.store.reading() as tx:
        shown = athlete_view(web, tx, athlete, now=visit.now, locale=visit.locale)
        listed = listed_runs(tx, athlete, shown)
        keys = [
            (one, tx.source(one.name).credential(athlete))
            for one in clients
            if isinstance(one, ApiKey)
        ]
        calendar_from = tx.athletes.calendar_from(athlete)
        therapists = tx.therapists.all()
        copies = tx.therapists.copies(athlete)
        waiting = tx.addresses.waiting(athlete, now=visit.now)
    return web.pages.show(
        "athlete.html",
        status=status,
        locale=visit.locale,
        athlete=athlete,
        languages=own_names(web.pages),
        mails_in=athlete.language or web.pages.language,
        shown=shown,
        here_at=partial(local_time, athlete),
        here=web.pages.root + visit.athlete_path,
        checkin=f"{web.pages.root}/checkin/{web.signer.token('checkin', athlete, now=visit.now)}",
        feed=web.signer.sign("calendar", athlete, now=calendar_from),
        connects={
            one.name: f"{web.pages.root}/connect/"
            + web.signer.token("connect", athlete, now=visit.now, source=one.name)
            for one in clients
            if not isinstance(one, ApiKey)
        },
        keys=keys,
        troubles=dict.fromkeys(_FORMS, "") | dict(troubles),
        # What was chosen and typed in a form that is refused.
        asked=_asked(web, visit) if "settings" in troubles else athlete,
        typed=defaultdict(str, {name: visit.form.one(name) for name in visit.form.fields}),
        listed=listed,
        # With full precision, so that saving it unchanged doesn't change the plan.
        race_distance=f"{athlete.race.distance_m / METRES_PER[athlete.units]:.8g}"
        if athlete.race
        else "",
        upload_mb=LARGEST_UPLOAD_BYTES // 2**20,
        files_to=f"{web.base_url}{visit.athlete_path}/files",
        therapists=therapists,
        has_copies=web.services.copies_alerts,
        agreed_at=copies.agreed_at,
        saved=done.get("saved") == "yes",
        uploaded=done.get("uploaded") == "yes",
        welcomed=done.get("welcome") == "yes",
        unsure=unsure,
        new_address=waiting.address if waiting else "",
        areas=PAIN_AREAS,
        links_live_days=lives.days if lives else 0,
        told_after=told_days_after(athlete),
        weekdays=WEEKDAYS,
        week_starts=WEEK_STARTS,
        dials=DIALS,
    )


def _download(
    web: WebContext,
    visit: LinkVisit,
    write: Callable[[Mapping[str, Any], IO[bytes]], None],
    kind: str,
) -> Response:
    """The data from a temporary file, without holding it in memory or a transaction open."""
    athlete = visit.athlete
    if not web.exporting.begin(athlete.id):
        raise PageError(429, wait_s=10)
    with ExitStack() as stack:
        stack.callback(web.exporting.end, athlete.id)
        file = stack.enter_context(TemporaryFile())
        with web.store.reading() as tx:
            exported = export(tx, athlete, now=visit.now)
        write(exported, file)
        then = stack.pop_all()
    return _Download(file, f"easeback.{kind}", f"application/{kind}", then)


class _Download(StreamingResponse):
    """A file, sent in chunks. `then` is closed after it was sent or the client disconnected."""

    def __init__(self, file: IO[bytes], name: str, media_type: str, then: ExitStack) -> None:
        headers = {
            "content-disposition": f'attachment; filename="{name}"',
            "content-length": str(file.tell()),
        }
        file.seek(0)
        pieces = iter(partial(file.read, _PIECE), b"")
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._then:
            await super().__call__(scope, receive, send)
