"""Signed links: an address with its own proof, for one purpose only.

A token is signed with a salt of its purpose, so it opens nothing else. Keys rotate: the first one
signs, all of them verify. Anybody who has the link can read the payload, so it contains the name
that links use for the athlete, and never a secret. This module stores nothing and reads no clock.
For a link that expires, the caller passes `now` when it is signed and `max_age_s` when it is
checked. To close older links, the caller compares `Link.signed_at`.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from itsdangerous import BadData, URLSafeSerializer

_LONGEST_TOKEN = 2000
_SALT = "easeback.link."
_PREVIEW = "preview"
_AHEAD_S = 300
"""How far the signing clock may be ahead of the checking clock."""


class LinkError(ValueError):
    """The link is invalid: forged, truncated, for another purpose, or too old (`expired`)."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


class LinkOwner(Protocol):
    """For whom a link is made: an athlete or a member of the practice."""

    @property
    def link_id(self) -> str:
        """Identifies them in links."""


@dataclass(frozen=True, slots=True)
class Link:
    """The content of a token: for whom it was made (`link_id`), when, and other fields.

    Links made before athletes had a `link_id` contain their `id`. `signed_at` is in whole seconds,
    or None for links that don't expire. In links to the practice's pages, `athlete` is a therapist.
    """

    athlete: str | int
    signed_at: datetime | None
    more: Mapping[str, str]


class Signer:
    """Signs and checks links. `keys` are newest first; the first one signs, all are accepted."""

    def __init__(self, keys: Sequence[str], base_url: str, *, preview: bool = False) -> None:
        """Links signed with `preview` are marked, and `check` refuses them."""
        if not keys or not all(keys):
            raise ValueError("links need at least one key, and no empty one")
        self.base_url = base_url.rstrip("/")
        self._oldest_key = keys[-1].encode()
        self._mark = {_PREVIEW: "yes"} if preview else {}
        self._serializer = URLSafeSerializer(
            [key.encode() for key in reversed(keys)],  # itsdangerous signs with the last
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def sign(
        self, purpose: str, whose: LinkOwner, *, now: datetime | None = None, **more: str
    ) -> str:
        """The address `<base_url>/<purpose>/<token>`; without `now` it doesn't expire."""
        return f"{self.base_url}/{purpose}/{self.token(purpose, whose, now=now, **more)}"

    def token(
        self, purpose: str, whose: LinkOwner, *, now: datetime | None = None, **more: str
    ) -> str:
        signed_at = int(now.timestamp()) if now else None
        content = [signed_at, {"athlete": whose.link_id, **more, **self._mark}]
        return self._serializer.dumps(content, salt=_SALT + purpose)

    def fingerprint(self, text: str) -> str:
        """A keyed digest of a text, which nobody can compute without our keys.

        It uses the oldest key, so it stays the same when keys are added.
        """
        content = f"easeback.fingerprint.{text}".encode()
        return hmac.new(self._oldest_key, content, hashlib.sha256).hexdigest()[:32]

    def check(
        self, purpose: str, token: str, *, max_age_s: float | None = None, now: datetime
    ) -> Link:
        """The content of a token that was signed for this purpose at most `max_age_s` ago.

        None means that it never expires, as for unsubscribing. Raises `LinkError`.
        """
        if len(token) > _LONGEST_TOKEN:
            raise LinkError("this link is too long to be one of ours")
        try:
            signed_at, payload = self._serializer.loads(token, salt=_SALT + purpose)
            more = dict(payload)
            link = Link(
                more.pop("athlete"),
                datetime.fromtimestamp(signed_at, UTC) if signed_at is not None else None,
                more,
            )
        except (BadData, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
            raise LinkError("this link is not valid") from error
        if _PREVIEW in more:
            raise LinkError("this link was made by a preview, at another time than it said")
        if max_age_s is not None and (
            link.signed_at is None or (now - link.signed_at).total_seconds() > max_age_s
        ):
            raise LinkError("this link has expired", expired=True)
        if link.signed_at is not None and (link.signed_at - now).total_seconds() > _AHEAD_S:
            raise LinkError("this link was signed by a clock that runs ahead")
        return link
