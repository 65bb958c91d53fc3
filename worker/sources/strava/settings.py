"""The settings `[strava]`."""

import re
from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from worker.setting_types import Duration, Login, Secret, SourceSection

_SAFE_ADDRESS = re.compile(r"https://|http://(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:|/|$)")


class StravaSection(SourceSection):
    """The operator's API application, and how to use it. Without an application, Strava is off."""

    client_id: Login = None
    client_secret: Secret = None
    base_url: str = "https://www.strava.com"
    api_base_url: str | None = None
    every: Duration = timedelta(minutes=15)
    retention_days: Annotated[int, Field(ge=1)] | None = None
    webhook_token: Secret = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            missing = "client_secret" if self.client_id else "client_id"
            raise ValueError(f"{missing} is missing: Strava gives you both, and needs both")
        if not _SAFE_ADDRESS.match(self.base_url):
            raise ValueError("base_url must be https://, or http:// to this machine's loopback")
        return self
