"""The app: the route of each page, and the error pages."""

from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.sources.base import OAuth2
from worker.store import StoreError
from worker.web import (
    address,
    athlete,
    calendar,
    checkin,
    consent,
    health,
    practice,
    routine,
    status,
    unsubscribe,
    welcome,
)
from worker.web.base_path import BasePathMiddleware
from worker.web.context import PageError, WebContext, error_page
from worker.web.limits import LimitsMiddleware
from worker.web.practice_links import lead_to_practice, practice_route
from worker.web.rate_limiter import ClientRateLimiter
from worker.web.uploads import upload_route
from worker.web.visits import link_page, page
from worker.web.webhook import webhook_routes


def build_app(web: WebContext, *, rate_limiter: ClientRateLimiter | None = None) -> Starlette:
    """Build the app with all routes and middleware."""

    async def show_error(request: Request, error: Exception) -> Response:
        return error_page(web, request.scope, error)

    pages, does = web.pages, partial(link_page, web, "athlete", posts=True)
    by_consent = {
        name: one.client
        for name, one in web.services.sources.items()
        if isinstance(one.client, OAuth2)
    }
    app = Starlette(
        routes=[
            link_page(web, "athlete", athlete.show_athlete),
            link_page(web, "athlete", routine.show_routine, "/routine"),
            does(athlete.save_settings, "/settings"),
            does(athlete.save_race, "/race"),
            does(athlete.save_language, "/language"),
            does(athlete.save_consent, "/copies"),
            does(athlete.resume_mails, "/resume"),
            does(athlete.save_contact, "/contact"),
            does(athlete.close_links, "/links"),
            does(athlete.close_calendar, "/calendar"),
            does(athlete.forget_everything, "/forget", pool="services"),
            does(athlete.disconnect_source, "/disconnect", pool="services"),
            upload_route(web),
            does(athlete.save_key, "/{source}", pool="services"),
            does(athlete.edit_run, "/runs/{edit}"),
            link_page(web, "athlete", athlete.download_json, "/easeback.json", pool="exports"),
            link_page(web, "athlete", athlete.download_zip, "/easeback.zip", pool="exports"),
            link_page(web, "calendar", calendar.show_calendar),
            link_page(web, "checkin", checkin.show_checkin),
            link_page(web, "checkin", checkin.save_checkin, posts=True),
            link_page(web, "unsubscribe", unsubscribe.show_unsubscribe),
            link_page(web, "unsubscribe", unsubscribe.unsubscribe, posts=True),
            link_page(web, "address", address.show_address),
            link_page(web, "address", address.save_address, posts=True),
            link_page(web, "welcome", welcome.show_welcome),
            link_page(web, "welcome", welcome.save_welcome, posts=True),
            page("/practice", web, lead_to_practice),
            practice_route(web, practice.show_everybody),
            practice_route(web, practice.add_athlete_there, "/athletes", posts=True),
            practice_route(web, practice.show_patient, "/athletes/{athlete}"),
            practice_route(web, practice.pause_mails, "/athletes/{athlete}/pause", posts=True),
            practice_route(web, practice.turn_copies, "/athletes/{athlete}/copies", posts=True),
            page("/", web, status.home),
            page("/status", web, status.status_page),
            page("/metrics", web, status.metrics),
            page("/readyz", web, health.readyz, pool="health"),
            Route("/livez", health.livez),
            _static(pages.stylesheet_path, pages.stylesheet, "text/css"),
            *(
                _static(one.path, one.content, one.media_type)
                for one in pages.pictures.values()
                if not one.svg
            ),
            _static("/icon.svg", pages.icon, "image/svg+xml"),
            link_page(web, "connect", partial(consent.begin_visit, by_consent), pool="services"),
            *(
                page(f"/{name}/callback", web, partial(consent.finish_visit, one), pool="services")
                for name, one in by_consent.items()
            ),
            *(route for one in web.services.sources.values() for route in webhook_routes(web, one)),
        ],
        middleware=[
            Middleware(BasePathMiddleware, root=pages.root),
            Middleware(LimitsMiddleware, web=web, rate_limiter=rate_limiter or ClientRateLimiter()),
        ],
        exception_handlers=dict.fromkeys((HTTPException, PageError, StoreError), show_error),
    )
    # A redirect to the address without a slash would use http and the Host header of the request,
    # and contain the token.
    app.router.redirect_slashes = False
    return app


def _static(path: str, content: bytes, media_type: str) -> Route:
    """A route to a static file, which isn't secret and may be cached for ever."""
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Route(path, lambda _: Response(content, 200, headers, media_type))
