"""A simulated Strava without sockets: takes requests and returns answers."""

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from simulators.clock import Clock
from simulators.strava import bodies, pages
from simulators.strava.accounts import Account, Activity, Diary
from simulators.strava.limits import Limits
from simulators.strava.tokens import Access, Consent, Tokens

READ_ONE = "activity:read"
READ_ALL = "activity:read_all"


@dataclass(frozen=True)
class Question:
    """An HTTP request; header names in lower case."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Application:
    """The API application of the operator.

    Inactive: its owner has no Strava subscription. Full: it has as many athletes as it may have.
    """

    client_id: str = "4711"
    client_secret: str = "made-secret-of-the-application"
    callback_domain: str = "easeback.example"
    active: bool = True
    is_full: bool = False


@dataclass(frozen=True)
class Subscription:
    """A webhook subscription; an application has at most one."""

    id: int
    callback_url: str


@dataclass
class Service:
    """The whole state of the simulated Strava.

    `log` holds each request, including refused ones. `retired` are paths that have been switched
    off, such as `/oauth/revoke` before it existed. `fetch` requests a callback address when a
    subscription is made; it returns status and body.
    """

    clock: Clock = field(default_factory=Clock)
    application: Application = field(default_factory=Application)
    diary: Diary = field(default_factory=Diary)
    tokens: Tokens = field(default_factory=Tokens)
    limits: Limits = field(default_factory=Limits)
    accounts: dict[int, Account] = field(default_factory=dict)
    logged_in: Account | None = None
    subscription: Subscription | None = None
    retired: set[str] = field(default_factory=set)
    log: list[Question] = field(default_factory=list)
    fetch: Callable[[str], tuple[int, bytes]] = lambda _: (0, b"")
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def account(self, firstname: str, lastname: str = "Made", **more: Any) -> Account:
        """Add an account, which is logged in from now on."""
        made = Account(80_001 + 13 * len(self.accounts), firstname, lastname, **more)
        self.accounts[made.id] = made
        self.logged_in = made
        return made

    def calls(self, path: str = "/api/v3") -> int:
        """Number of requests whose path begins with `path`."""
        return sum(q.path.startswith(path) for q in self.log)

    def answer(self, question: Question) -> Answer:
        """Answer one request at a time."""
        with self._lock:
            self.log.append(question)
            if question.path in self.retired:
                return _json(404, bodies.error("Record Not Found", "resource", "path", "invalid"))
            if question.path.startswith("/api/v3/push_subscriptions"):
                return self._push_subscriptions(question)
            if question.path.startswith("/api/v3/"):
                return self._api(question)
            door = {
                ("GET", "/oauth/authorize"): self._authorize,
                ("POST", "/oauth/accept"): self._accept,
                ("POST", "/oauth/token"): self._token,
                ("POST", "/oauth/revoke"): self._revoke,
                ("POST", "/oauth/deauthorize"): self._deauthorize,
            }.get((question.method, question.path))
            return door(question) if door else _json(404, {"message": "Not Found"})

    # API

    def _api(self, question: Question) -> Answer:
        now = self.clock.now
        within = self.limits.count(now)
        headers = self.limits.headers(now)
        if not within:
            return _json(429, bodies.OVER_LIMIT, headers)
        access = self.tokens.access(_bearer(question), now)
        if access is None:
            return _json(401, bodies.BAD_TOKEN, headers)
        if not self.application.active:
            return _json(403, bodies.INACTIVE, headers)
        if question.path == "/api/v3/athlete":
            return _json(200, bodies.athlete(access.account), headers)
        return self._activities(question, access, headers)

    def _activities(self, question: Question, access: Access, headers: dict[str, str]) -> Answer:
        if not access.scopes & {READ_ONE, READ_ALL}:
            return _json(401, bodies.MISSING_SCOPE, headers)
        private_too = READ_ALL in access.scopes
        if question.path == "/api/v3/athlete/activities":
            shown = self._page(question.query, access.account, private_too=private_too)
            return _json(200, [bodies.row(a) for a in shown], headers)
        found = self._one(question.path, access.account, private_too=private_too)
        if found is None:
            return _json(404, bodies.NOT_FOUND, headers)
        return _json(200, bodies.detail(found), headers)

    def _page(
        self, query: dict[str, str], account: Account, *, private_too: bool
    ) -> list[Activity]:
        """One page: cut to size first and then rid of ghosts, so that any page can be short."""
        after, before = (float(query[k]) if k in query else None for k in ("after", "before"))
        size = min(int(query.get("per_page", "30")), 200)
        first = (int(query.get("page", "1")) - 1) * size
        listed = self.diary.listed(account, private_too=private_too, after=after, before=before)
        return [a for a in listed[first : first + size] if not a.ghost]

    def _one(self, path: str, account: Account, *, private_too: bool) -> Activity | None:
        name = path.removeprefix("/api/v3/activities/")
        found = self.diary.activities.get(int(name)) if name.isdecimal() else None
        if found is None or found.owner != account or found.ghost:
            return None
        return found if private_too or found.visibility != "only_me" else None

    # OAuth

    def _authorize(self, question: Question) -> Answer:
        asked = question.query
        if asked.get("client_id") != self.application.client_id:
            return _json(400, bodies.BAD_CLIENT)
        host = urlsplit(asked.get("redirect_uri", "")).hostname
        if host not in {self.application.callback_domain, "localhost", "127.0.0.1"}:
            return _json(400, bodies.BAD_REDIRECT)
        if self.application.is_full:
            said = b"<h1>Error 403: Limit of connected athletes exceeded</h1>"
            return Answer(403, said, {"Content-Type": "text/html; charset=utf-8"})
        if self.logged_in is None:
            return Answer(200, b"<h1>Log in</h1>", {"Content-Type": "text/html; charset=utf-8"})
        scopes = frozenset(asked.get("scope", "read").split(","))
        had = self.tokens.consents.get(self.logged_in.id)
        if asked.get("approval_prompt") != "force" and had is not None and had.scopes >= scopes:
            return self._back(asked, scopes)
        page = pages.consent(asked, self.logged_in.firstname)
        return Answer(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})

    def _accept(self, question: Question) -> Answer:
        form = question.form
        if form.get("answer") != "authorize":
            return _redirect(
                form["redirect_uri"], {"state": form.get("state", ""), "error": "access_denied"}
            )
        ticked = {k.removeprefix("scope:") for k in form if k.startswith("scope:")}
        return self._back(form, frozenset(ticked | {"read"}))

    def _back(self, asked: dict[str, str], scopes: frozenset[str]) -> Answer:
        if self.logged_in is None:
            return _json(401, bodies.BAD_TOKEN)
        code = self.tokens.consent(self.logged_in, scopes, self.clock.now)
        found = {"state": asked.get("state", ""), "code": code, "scope": ",".join(sorted(scopes))}
        return _redirect(asked["redirect_uri"], found)

    def _token(self, question: Question) -> Answer:
        form, now = question.form, self.clock.now
        if form.get("client_id") != self.application.client_id:
            return _json(400, bodies.BAD_CLIENT)
        if form.get("client_secret") != self.application.client_secret:
            return _json(401, bodies.BAD_SECRET)
        if form.get("grant_type") == "authorization_code":
            consent = self.tokens.exchange(form.get("code", ""), now)
            if consent is None:
                return _json(400, bodies.BAD_CODE)
            return _json(200, self._pair(consent) | {"athlete": bodies.athlete(consent.account)})
        consent = self.tokens.refresh(form.get("refresh_token", ""), now)
        return (
            _json(400, bodies.BAD_REFRESH) if consent is None else _json(200, self._pair(consent))
        )

    def _pair(self, consent: Consent) -> dict[str, Any]:
        return {
            "token_type": "Bearer",
            "access_token": consent.access.token,
            "expires_at": int(consent.access.expires_at.timestamp()),
            "expires_in": int((consent.access.expires_at - self.clock.now).total_seconds()),
            "refresh_token": consent.refresh_token,
        }

    def _revoke(self, question: Question) -> Answer:
        basic = f"{self.application.client_id}:{self.application.client_secret}".encode()
        if question.headers.get("authorization") != f"Basic {base64.b64encode(basic).decode()}":
            return _json(401, bodies.BAD_SECRET)
        owner = self.tokens.owner_of(question.form.get("token", ""))
        if owner is not None:
            self.tokens.revoke(owner)
        return _json(200, {})

    def _deauthorize(self, question: Question) -> Answer:
        access = self.tokens.access(_bearer(question), self.clock.now)
        if access is None:
            return _json(401, bodies.BAD_TOKEN)
        self.tokens.revoke(access.account)
        return _json(200, {"access_token": access.token})

    # Webhooks

    def _push_subscriptions(self, question: Question) -> Answer:
        given = question.form | question.query
        mine = (self.application.client_id, self.application.client_secret)
        if (given.get("client_id"), given.get("client_secret")) != mine:
            return _json(401, bodies.BAD_SECRET)
        if question.method == "POST":
            return self._subscribe(given)
        if question.method == "DELETE":
            return self._unsubscribe(question.path.rpartition("/")[2])
        page_past_the_first = int(given.get("page", "1")) > 1
        shown = [] if self.subscription is None or page_past_the_first else [self.subscription]
        return _json(200, [_subscription(s) for s in shown])

    def _subscribe(self, given: dict[str, str]) -> Answer:
        if self.subscription is not None:
            return _json(
                400,
                bodies.error("Bad Request", "PushSubscription", "", "already exists"),
            )
        challenge = {
            "hub.mode": "subscribe",
            "hub.challenge": "15f7d1",
            "hub.verify_token": given.get("verify_token", ""),
        }
        status, body = self.fetch(f"{given['callback_url']}?{urlencode(challenge)}")
        if status != 200 or not _echoes(body, "15f7d1"):
            return _json(
                400,
                bodies.error("Bad Request", "PushSubscription", "callback url", "not verifiable"),
            )
        self.subscription = Subscription(131_300, given["callback_url"])
        return _json(201, {"id": self.subscription.id})

    def _unsubscribe(self, name: str) -> Answer:
        if self.subscription is None or name != str(self.subscription.id):
            return _json(404, bodies.error("Record Not Found", "PushSubscription", "id", "invalid"))
        self.subscription = None
        return Answer(204, b"")


def _subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": subscription.id,
        "resource_state": 2,
        "application_id": 4711,
        "callback_url": subscription.callback_url,
        "created_at": "2026-03-01T08:00:00Z",
        "updated_at": "2026-03-01T08:00:00Z",
    }


def _echoes(body: bytes, challenge: str) -> bool:
    try:
        return bool(json.loads(body)["hub.challenge"] == challenge)
    except (ValueError, KeyError, TypeError):
        return False


def _bearer(question: Question) -> str:
    kind, _, token = question.headers.get("authorization", "").partition(" ")
    return token if kind == "Bearer" else ""


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    told = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Answer(status, json.dumps(body).encode(), told)


def _redirect(to: str, query: dict[str, str]) -> Answer:
    glue = "&" if urlsplit(to).query else "?"
    return Answer(302, b"", {"Location": f"{to}{glue}{urlencode(query)}"})
