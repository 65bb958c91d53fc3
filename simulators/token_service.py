"""A simulated token service like Microsoft's and Google's: codes, consents, tokens; no sockets.

with running(TokenService()) as server: ...
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulators.strava.service import Answer, Question


@dataclass
class TokenService:
    """One application and one account; `log` has the path and form of each request.

    `pending` is how many polls find the user's code not entered yet, `lives_s` the stated lifetime
    of an access token. `rotates`: each renewal returns another refresh token, as Microsoft's does.
    """

    client_id: str = "made-app"
    pending: int = 0
    lives_s: int = 3600
    rotates: bool = True
    refusal: str = ""
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refresh_token: str | None = None
    access_tokens: list[str] = field(default_factory=list)

    def revoke(self) -> None:
        """Withdraw the access, as the owner of the account may."""
        self.refresh_token = None

    def answer(self, question: Question) -> Answer:
        path, form = question.path, question.form
        self.log.append((path, form))
        if form.get("client_id") != self.client_id:
            return _json(400, error="unauthorized_client", error_description="no such application")
        if path.endswith("/devicecode"):
            return _json(
                200, user_code="MADE-CODE", device_code="device-secret", expires_in=900, interval=0,
                verification_uri="https://login.example.org/device",
            )  # fmt: skip
        if path.endswith("/revoke"):
            self.revoke()
            return Answer(200, b"")
        return self._grant(form)

    def _grant(self, form: dict[str, str]) -> Answer:
        if self.refusal:
            return _json(400, error=self.refusal)
        kind = form.get("grant_type", "")
        if kind == "refresh_token":
            if form.get("refresh_token") != self.refresh_token or self.refresh_token is None:
                return _json(400, error="invalid_grant", error_description="AADSTS50173: revoked")
            return self._tokens(renewing=True)
        if kind.endswith("device_code") and self.pending:
            self.pending -= 1
            return _json(400, error="authorization_pending")
        if kind == "authorization_code" and form.get("code") != "made-consent":
            return _json(400, error="invalid_grant")
        return self._tokens()

    def _tokens(self, *, renewing: bool = False) -> Answer:
        number = len(self.access_tokens) + 1
        self.access_tokens.append(f"access-{number}")
        brings: dict[str, Any] = {"access_token": f"access-{number}", "expires_in": self.lives_s}
        if not renewing or self.rotates:
            self.refresh_token = f"refresh-{number}"
            brings["refresh_token"] = self.refresh_token
        return _json(200, **brings)

    def consented(self, address: str) -> str:
        """The address to which Google's page redirects a browser after consent at `address`."""
        asked = dict(parse_qsl(urlsplit(address).query))
        return f"{asked['redirect_uri']}/?state={asked['state']}&code=made-consent&scope=mail"


def _json(status: int, **said: Any) -> Answer:
    return Answer(status, json.dumps(said).encode(), {"content-type": "application/json"})
