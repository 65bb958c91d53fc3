"""What Garmin's part of the work needs beside the rest of the works."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from worker.pipeline.pace import LUCK, Pace
from worker.sources.formats.unpack import Member
from worker.sources.garmin.grants import Grant, Token
from worker.sources.garmin.refusals import GarminError
from worker.store import KeptKey, Sealer, SealError

if TYPE_CHECKING:
    # Brings the HTTP library, which a command that asks nobody needn't wait for.
    from worker.sources.garmin.client import Garmin


@dataclass(frozen=True, slots=True)
class GarminWorks:
    """The client, what seals its keys, and the reader of its files.

    `read` gives everything in a file by its bytes and name. `wait` lets so many seconds pass, never
    with a transaction open. `luck` spreads the athletes over time.
    """

    client: "Garmin"
    sealer: Sealer
    read: Callable[[bytes, str], Iterable[Member]]
    wait: Callable[[float], None] = time.sleep
    luck: Callable[[], float] = LUCK

    @property
    def pace(self) -> Pace:
        settings = self.client.settings
        return Pace("garmin", "Garmin", settings.every, settings.history, self.luck)

    def seal(self, grant: Grant) -> bytes:
        token = grant.token
        told = [grant.key, *([token.value, token.expires_at.isoformat()] if token else [])]
        return self.sealer.seal(json.dumps(told))

    def unseal(self, kept: KeptKey) -> Grant:
        """The grant as it's used; raises `GarminError` where what sealed it is lost."""
        try:
            key, *token = json.loads(self.sealer.open(kept.sealed))
        except SealError as error:
            raise GarminError(str(error), permanent=True) from error
        today = Token(token[0], datetime.fromisoformat(token[1])) if token else None
        return Grant(key, kept.key_expires_at, today)
