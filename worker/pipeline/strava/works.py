"""What Strava's part of the work needs beside the rest of the works."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.links import Signer
from worker.pipeline.pace import LUCK, Pace
from worker.sources.strava.grants import Grant
from worker.sources.strava.refusals import StravaError
from worker.store import KeptGrant, Sealer, SealError

if TYPE_CHECKING:
    # Brings the HTTP libraries, which a command that asks nobody needn't wait for.
    from worker.sources.strava.client import Strava


@dataclass(frozen=True, slots=True)
class StravaWorks:
    """The client, what seals its tokens, and what signs the cookies of consents.

    `verify_token` is what Strava must repeat when it checks our webhook. `luck` spreads the
    athletes over time.
    """

    client: "Strava"
    sealer: Sealer
    signer: Signer
    verify_token: str
    luck: Callable[[], float] = LUCK

    @property
    def pace(self) -> Pace:
        settings = self.client.settings
        return Pace("strava", "Strava", settings.every, settings.reach, self.luck)

    def seal(self, grant: Grant) -> bytes:
        return self.sealer.seal(json.dumps([grant.access_token, grant.refresh_token]))

    def unseal(self, kept: KeptGrant) -> Grant:
        """The grant as it's used; raises `StravaError` where the key is lost."""
        try:
            access_token, refresh_token = json.loads(self.sealer.open(kept.sealed))
        except SealError as error:
            raise StravaError(str(error), permanent=True) from error
        return Grant(kept.strava_id, access_token, refresh_token, kept.expires_at, kept.scopes)
