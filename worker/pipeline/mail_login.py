"""Logs in to the mail server by tokens (OAuth 2): connects once, then refreshes the tokens.

    Microsoft   a code that is typed in at microsoft.com (RFC 8628)      begin_by_code, is_done
    Google      a consent whose address is pasted back (RFC 8252, 7636)  begin_by_page, finish_page

Google grants no token for mail by a typed code. The refresh token is stored, encrypted; access
tokens are kept in memory. Every failure is a `SendError`: no mail goes out until it is fixed, and
none is lost.
"""

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlencode

from worker.mail import RECONNECT, SendError
from worker.mail.mime import one_line
from worker.setting_types import MailProvider, MailSection
from worker.sources.base import SourceError
from worker.store import DecryptError, Encrypter, Store
from worker.store.mail_login import StoredMailLogin

_SPARE_S = 300.0
"""How long before its end a token is replaced, because sending a mail takes time."""

_SHORTEST_LIFE_S = 30.0
_ANSWER_S = 20.0
_LEAST_POLL_S = 0.2
_LONGEST_POLL_S = 60.0
_LONGEST_WAIT_S = 1800.0
_SLOWER_S = 5.0

NOWHERE = "http://127.0.0.1:1"
"""Where Google's page redirects the browser. Nothing listens there; the address has the code."""


@dataclass(frozen=True, slots=True)
class TokenService:
    """Where a provider issues tokens, and for what."""

    title: str
    page: str
    token: str
    scope: str
    code: str = ""
    revoke: str = ""
    largest_answer_bytes: int = 2**20

    def route(self, address: str) -> str:
        return address


@dataclass(frozen=True, slots=True)
class TypedCode:
    """A code to be entered at an address, within a number of seconds."""

    address: str
    code: str
    lasts_s: float
    every_s: float
    secret: str


@dataclass(frozen=True, slots=True)
class ConsentPage:
    """The address of a consent page, and the values that its answer must match."""

    address: str
    state: str
    verifier: str


def token_service(section: MailSection) -> TokenService:
    """The provider's address, or `provider_url` if it is set."""
    provider: MailProvider = section.provider or "microsoft"
    if provider == "microsoft":
        base = section.provider_url or "https://login.microsoftonline.com"
        base = f"{base}/{section.tenant}/oauth2/v2.0"
        return TokenService(
            title="Microsoft",
            page=f"{base}/authorize",
            token=f"{base}/token",
            code=f"{base}/devicecode",
            scope="https://outlook.office.com/SMTP.Send offline_access",
        )
    return TokenService(
        title="Google",
        page=f"{section.provider_url or 'https://accounts.google.com'}/o/oauth2/v2/auth",
        token=f"{section.provider_url or 'https://oauth2.googleapis.com'}/token",
        revoke=f"{section.provider_url or 'https://oauth2.googleapis.com'}/revoke",
        scope="https://mail.google.com/",
    )


class MailLogin:
    """The login of these settings, shared by all senders of a process. Calling it gives a token."""

    def __init__(
        self, section: MailSection, store: Store, encrypter: Encrypter, *, ca_file: str | None
    ) -> None:
        from worker.sources.http import http_session

        self.service = token_service(section)
        self.username = section.username or ""
        self._section = section
        self._store = store
        self._encrypter = encrypter
        self._session = http_session(self.service, ca_file=ca_file, answer_s=_ANSWER_S)
        self._lock = Lock()
        self._token = ""
        self._token_until = 0.0

    # Tokens

    def __call__(self, *, fresh: bool = False) -> str:
        """An access token that is valid for at least some minutes; raises `SendError`."""
        with self._lock:
            if fresh or time.monotonic() >= self._token_until:
                self._token, self._token_until = self._new_token()
            return self._token

    def _new_token(self) -> tuple[str, float]:
        with self._store.reading() as tx:
            stored = tx.mail_login.get()
        if stored is None or stored.username != self.username:
            raise _no_login(
                f"mail isn't connected for {self.username} yet: run `{RECONNECT}`, once"
            )
        if stored.trouble is not None:
            raise _no_login(stored.trouble)
        status, said = self._ask(
            self.service.token,
            grant_type="refresh_token",
            refresh_token=self._decrypted(stored),
            scope=self.service.scope,
        )
        if said.get("error") == "invalid_grant":
            words = (
                f"{self.service.title} takes the login of {self.username} for mail no more "
                f"({_why(said)}): run `{RECONNECT}` again; mail waits until then"
            )
            with self._store.transaction() as tx:
                tx.mail_login.failed(stored, trouble=words)
            raise _no_login(words)
        granted = self._granted(status, said)
        if renewed := said.get("refresh_token"):
            with self._store.transaction() as tx:
                tx.mail_login.renew(stored, encrypted=self._encrypter.encrypt_text(str(renewed)))
        return granted

    def _granted(self, status: int, said: Mapping[str, Any]) -> tuple[str, float]:
        """The access token in an answer, and until when it may be used."""
        token = said.get("access_token")
        if status != 200 or not isinstance(token, str) or not token.isascii():  # noqa: PLR2004
            raise _no_login(f"{self.service.title} gave no token for mail: {_why(said)}")
        lives_s = _number(said.get("expires_in"), 3600.0)
        return token, time.monotonic() + max(lives_s - _SPARE_S, _SHORTEST_LIFE_S)

    def _decrypted(self, stored: StoredMailLogin) -> str:
        try:
            return self._encrypter.decrypt(stored.encrypted)
        except DecryptError as error:
            raise _no_login(f"mail: {error}") from error

    # Connecting

    def begin_by_code(self) -> TypedCode:
        """Request a code for the operator to type in; raises `SendError`."""
        status, said = self._ask(self.service.code, scope=self.service.scope)
        address = said.get("verification_uri") or said.get("verification_url")
        code, secret = said.get("user_code"), said.get("device_code")
        if status != 200 or not (address and code and secret):  # noqa: PLR2004
            raise _no_login(f"{self.service.title} gave no code: {_why(said)}")
        return TypedCode(
            address=one_line(str(address)),
            code=one_line(str(code)),
            lasts_s=min(_number(said.get("expires_in"), 900.0), _LONGEST_WAIT_S),
            every_s=_polling(_number(said.get("interval"), 5.0)),
            secret=str(secret),
        )

    def is_done(self, begun: TypedCode, *, now: datetime) -> tuple[bool, float]:
        """Whether the code was typed in, which connects; and how long to wait before asking again.

        Raises `SendError` if the login can't succeed any more.
        """
        status, said = self._ask(
            self.service.token,
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=begun.secret,
        )
        if said.get("error") == "authorization_pending":
            return False, begun.every_s
        if said.get("error") == "slow_down":
            return False, begun.every_s + _SLOWER_S
        self._connect(status, said, now=now)
        return True, 0.0

    def begin_by_page(self) -> ConsentPage:
        """The page on which the operator consents."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self._section.client_id,
            "redirect_uri": NOWHERE,
            "response_type": "code",
            "scope": self.service.scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "access_type": "offline",
            "prompt": "consent",
            "login_hint": self.username,
        }
        return ConsentPage(f"{self.service.page}?{urlencode(query)}", state, verifier)

    def finish_page(self, begun: ConsentPage, pasted: str, *, now: datetime) -> None:
        """Connect by the address to which the page redirected; raises `SendError`."""
        # Taken apart by hand, because `urlsplit` raises for some texts that aren't addresses.
        query = dict(parse_qsl(pasted.strip().partition("?")[2].partition("#")[0]))
        if error := query.get("error"):
            raise _no_login(f"{self.service.title} gave no consent: {one_line(error)[:100]}")
        state = query.get("state", "").encode()
        if "code" not in query or not secrets.compare_digest(state, begun.state.encode()):
            raise _no_login(
                "that isn't the address at which this consent ended: it begins with "
                f"{NOWHERE}/?state=; nothing was changed"
            )
        status, said = self._ask(
            self.service.token,
            grant_type="authorization_code",
            code=query["code"],
            code_verifier=begun.verifier,
            redirect_uri=NOWHERE,
        )
        self._connect(status, said, now=now)

    def _connect(self, status: int, said: Mapping[str, Any], *, now: datetime) -> None:
        token, until = self._granted(status, said)
        refresh = said.get("refresh_token")
        if not isinstance(refresh, str) or not refresh:
            raise _no_login(
                f"{self.service.title} gave a token for an hour only, and none to renew it by: "
                "check which kind of application [mail] client_id is"
            )
        encrypted = self._encrypter.encrypt_text(refresh)
        with self._store.transaction() as tx:
            tx.mail_login.connect(self.username, encrypted=encrypted, now=now)
        with self._lock:
            self._token, self._token_until = token, until

    # Disconnecting

    def disconnect(self) -> str | None:
        """Delete the login, and revoke it if the provider supports that; returns what failed."""
        with self._store.reading() as tx:
            stored = tx.mail_login.get()
        trouble = None
        if stored is not None and stored.trouble is None and self.service.revoke:
            try:
                self._ask(self.service.revoke, token=self._decrypted(stored))
            except SendError as error:
                trouble = f"forgotten here, but not given back at {self.service.title}: {error}"
        with self._store.transaction() as tx:
            tx.mail_login.forget()
        self._store.empty_log()
        with self._lock:
            self._token, self._token_until = "", 0.0
        return trouble

    def encrypt_anew(self) -> int:
        """Encrypt the stored token with the newest key; returns how many. Raises `DecryptError`."""
        with self._store.transaction() as tx:
            stored = tx.mail_login.get()
            if stored is None:
                return 0
            tx.mail_login.renew(stored, encrypted=self._encrypter.encrypt_anew(stored.encrypted))
        return 1

    def _ask(self, address: str, **form: str) -> tuple[int, Mapping[str, Any]]:
        """The status and the answer of the provider to a form; raises `SendError`."""
        from worker.sources.http import network_errors

        title, section = self.service.title, self._section
        form["client_id"] = section.client_id or ""
        if section.client_secret and address != self.service.code:
            form["client_secret"] = section.client_secret.get_secret_value()
        try:
            with network_errors(title):
                answer = self._session.post(
                    address, data=form, headers={"Accept": "application/json"}
                )
                said = answer.json() if answer.content else {}
        except SourceError as error:
            raise SendError(
                f"no token for mail can be had: {error}", permanent=False, unreachable=True
            ) from None
        is_ill = answer.status_code >= 500 or answer.status_code == 429  # noqa: PLR2004
        if is_ill or not isinstance(said, dict):
            raise SendError(
                f"no token for mail can be had: {title} answered {answer.status_code}",
                permanent=False,
                unreachable=True,
            )
        return answer.status_code, said


def _no_login(words: str) -> SendError:
    return SendError(words, permanent=False, login=True)


def _why(said: Mapping[str, Any]) -> str:
    """The provider's reason, short and on one line."""
    error, told = said.get("error"), said.get("error_description")
    words = ": ".join(one_line(str(one)) for one in (error, told) if one)
    return words[:200] or "no reason given"


def _number(value: object, otherwise: float) -> float:
    """A number in an answer; some providers send it as text."""
    try:
        number = float(str(value))
    except ValueError:
        return otherwise
    return number if 0 <= number < 10**9 else otherwise


def _polling(every_s: float) -> float:
    return min(max(every_s, _LEAST_POLL_S), _LONGEST_POLL_S)
