"""Signed links: an address that carries its own proof, for one purpose and no other.

A token is signed with a salt of its purpose, so that the token of one purpose opens nothing else.
Keys rotate: the first signs, all of them check. The payload can be read by anybody who has the
link, so it holds ids and never a secret. Nothing is stored here and no clock is read: whoever
wants a link that ages gives `now` when it is signed and `max_age_s` when it is checked, and who
closed older ones compares with `signed_at`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from itsdangerous import BadData, URLSafeSerializer

_PURPOSE = re.compile(r"[a-z]{1,20}")
_LONGEST_TOKEN = 2000


class LinkError(ValueError):
    """The link opens nothing: forged, cut, made for another purpose, or too old (`expired`)."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


class Signer:
    """Signs and checks. `keys`: newest first; the first signs, every one of them is accepted."""

    def __init__(self, keys: Sequence[bytes | str], base_url: str) -> None:
        if not keys or not all(keys):
            raise ValueError("links need at least one key, and no empty one")
        # itsdangerous signs with the last.
        self._keys = [key if isinstance(key, bytes) else key.encode() for key in reversed(keys)]
        self.base_url = base_url.rstrip("/")
        self._serializers: dict[str, URLSafeSerializer] = {}

    def sign(
        self, purpose: str, payload: Mapping[str, str | int], *, now: datetime | None = None
    ) -> str:
        """The whole address `<base_url>/<purpose>/<token>`; without `now` it has no age."""
        signed_at = int(now.timestamp()) if now else None
        token = self._serializer(purpose).dumps([signed_at, dict(payload)])
        return f"{self.base_url}/{purpose}/{token}"

    def check(
        self, purpose: str, token: str, *, max_age_s: float | None = None, now: datetime
    ) -> dict[str, str | int]:
        """The payload of a token that this purpose signed at most `max_age_s` ago.

        `None` never expires: that is how one gives up a mail years later.
        """
        signed_at, payload = self._opened(purpose, token)
        if max_age_s is not None:
            _refuse_old(signed_at, max_age_s=max_age_s, now=now)
        return payload

    def signed_at(self, purpose: str, token: str) -> datetime | None:
        """When this purpose signed the token, to the second; None for one without an age."""
        signed_at, _ = self._opened(purpose, token)
        return datetime.fromtimestamp(signed_at, UTC) if signed_at is not None else None

    def _opened(self, purpose: str, token: str) -> tuple[int | None, dict[str, str | int]]:
        if len(token) > _LONGEST_TOKEN:
            raise LinkError("this link is too long to be one of ours")
        try:
            signed_at, payload = self._serializer(purpose).loads(token)
            return signed_at, dict(payload)
        except (BadData, TypeError, ValueError) as error:
            raise LinkError("this link is not valid") from error

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        if purpose not in self._serializers:
            if not _PURPOSE.fullmatch(purpose):
                raise ValueError(f"a link's purpose is a lower-case word, not {purpose!r}")
            self._serializers[purpose] = URLSafeSerializer(
                self._keys,
                salt=f"easeback.link.{purpose}",
                signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
            )
        return self._serializers[purpose]


def _refuse_old(signed_at: int | None, *, max_age_s: float, now: datetime) -> None:
    if signed_at is None or now.timestamp() - signed_at > max_age_s:
        raise LinkError("this link has expired", expired=True)
