"""What runners do at their pages, inside the worker's process: connect Strava, say how it feels.

A browser queries the real web server without a socket. Confirmed answers are written to the data
folder, where they outlive the process: a runner repeats an answer unless it was confirmed.
"""

import asyncio
import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.cookies import SimpleCookie
from pathlib import Path
from typing import cast
from urllib.parse import urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Send

from simulators.strava.browser import answer_consent
from worker.app import build_web_server
from worker.config import Settings
from worker.domain.models import Athlete
from worker.keys import read_keys
from worker.links import Signer
from worker.pipeline.services import Services
from worker.store import Store

CONFIRMED = "confirmed"
_CONNECT = re.compile(r"/connect/[\w.=-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An athlete's answer about a day; `number` tells the answers apart."""

    number: int
    athlete: str
    feels: str
    level: int | None = None
    areas: tuple[str, ...] = ()

    @property
    def form(self) -> tuple[tuple[str, str], ...]:
        level = (("level", str(self.level)),) if self.level is not None else ()
        return (("feels", self.feels), *level, *(("area", area) for area in self.areas))


@dataclass(frozen=True, slots=True)
class Town:
    """The web server, its services, the folder with confirmed answers, and the current time."""

    app: ASGIApp
    signer: Signer
    store: Store
    home: Path
    now: datetime


Errand = Callable[[Town], None]


def town(services: Services, settings: Settings, home: Path, now: datetime) -> Town:
    """The web server of these services, as in `easeback run`."""
    origin = settings.base_url
    served = build_web_server(settings, services, lambda: now)
    return Town(served.app, Signer(read_keys(settings), origin), services.store, home, now)


def says(answer: Answer) -> Errand:
    """Say how it feels, unless that was confirmed already."""

    def go(town: Town) -> None:
        if answer in confirmed(town.home):
            return
        link = town.signer.sign("checkin", _named(town, answer.athlete), now=town.now)
        Browser(town).ask("POST", link, answer.form, then=lambda: _confirm(town.home, answer))

    return go


def connects(name: str) -> Errand:
    """Connect Strava, the first time and whenever a mail asks for it."""

    def go(town: Town) -> None:
        link = _link_to_connect(town, name)
        if link is None:
            return
        browser = Browser(town)
        browser.ask("GET", link)
        (consent,) = re.findall(r'href="([^"]+/oauth/authorize[^"]+)"', browser.page)
        consent = html.unescape(consent)
        browser.ask("GET", f"/strava/callback?{urlencode(answer_consent(consent))}")

    return go


def confirmed(home: Path) -> tuple[Answer, ...]:
    """The confirmed answers, in order."""
    file = home / CONFIRMED
    lines = file.read_text().splitlines() if file.exists() else []
    told = [json.loads(line) for line in lines]
    return tuple(Answer(**one | {"areas": tuple(one["areas"])}) for one in told)


def _confirm(home: Path, answer: Answer) -> None:
    with (home / CONFIRMED).open("a") as file:
        file.write(json.dumps(asdict(answer)) + "\n")


def _named(town: Town, name: str) -> Athlete:
    with town.store.reading() as tx:
        athlete = tx.athletes.named(name)
    assert athlete
    return athlete


def _link_to_connect(town: Town, name: str) -> str | None:
    """The operator's link if never connected; otherwise the link of the latest mail, if any."""
    athlete = _named(town, name)
    with town.store.reading() as tx:
        kept = tx.source("strava").credential(athlete)
        letters = [one for one in tx.outbox.all() if one.kind == "reconnect"]
    if kept is None:
        return town.signer.sign("connect", athlete, now=town.now)
    if kept.revoked_at is None:
        return None
    for letter in letters:
        if letter.state == "sent" and letter.created_at > kept.connected_at:
            mail = cast("EmailMessage", message_from_bytes(letter.mime, policy=policy.default))
            text = mail.get_body(("plain",))
            found = _CONNECT.search(text.get_content()) if text else None
            assert found
            return found[0]
    return None


@dataclass
class Browser:
    """One browser with its cookies."""

    town: Town
    cookies: dict[str, str] = field(default_factory=dict)
    page: str = ""

    def ask(
        self,
        method: str,
        address: str,
        form: Sequence[tuple[str, str]] = (),
        *,
        then: Callable[[], None] = lambda: None,
    ) -> dict[str, str]:
        """Send a request; returns the answer's headers. `then` is called once a page is
        complete.
        """
        status = 0
        headers: dict[str, str] = {}
        body = urlencode(form).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers.update((n.decode(), value.decode()) for n, value in message["headers"])
                self.page = ""
                return
            self.page += message["body"].decode()
            if not message.get("more_body") and status == 200:
                then()

        asyncio.run(self._visit(method, address, len(body), receive, send))
        assert status in (200, 303), f"{method} {urlsplit(address).path}: {status}"
        set_now = SimpleCookie(headers.get("set-cookie", ""))
        self.cookies |= {name: morsel.value for name, morsel in set_now.items()}
        return headers

    async def _visit(
        self, method: str, address: str, length: int, receive: Receive, send: Send
    ) -> None:
        parts = urlsplit(address)
        headers = {
            "host": parts.netloc,
            "content-type": "application/x-www-form-urlencoded",
            "content-length": str(length),
            "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        }
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 50_000),
        }
        await self.town.app(scope, receive, send)
