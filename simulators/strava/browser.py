"""A simulated runner at Strava's consent page: opens it, unticks scopes, presses a button."""

import re
import urllib.parse
import urllib.request
from collections.abc import Collection
from typing import Any
from urllib.error import HTTPError


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_StayHere())


def answer_consent(
    address: str, *, untick: Collection[str] = (), button: str = "authorize"
) -> dict[str, str]:
    """The query with which the browser returns to the redirect address."""
    status, location, page = _open(address)
    if status != 302:
        base = urllib.parse.urlsplit(address)
        form = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
        boxes = re.findall(r'type="checkbox" name="scope:([^"]+)"', page)
        form |= {f"scope:{scope}": "on" for scope in boxes if scope not in untick}
        _, location, _ = _open(
            f"{base.scheme}://{base.netloc}/oauth/accept", form | {"answer": button}
        )
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location).query))


def _open(address: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
    body = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        with _OPENER.open(address, body, timeout=5) as response:
            return response.status, "", response.read().decode()
    except HTTPError as answer:
        with answer:
            return answer.code, answer.headers.get("Location", ""), answer.read().decode()
