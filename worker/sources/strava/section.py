"""The section `[strava]` of the settings."""

from datetime import timedelta
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from worker.setting_types import Duration, Login, Secret, ServiceAddress, SourceSection

API_PAGE = "https://www.strava.com/settings/api"


class StravaSection(SourceSection):
    """The operator's API application, and how to use it. Without an application, Strava is off."""

    precedence: ClassVar[int] = 3

    client_id: Login = None
    client_secret: Secret = None
    base_url: ServiceAddress = "https://www.strava.com"
    api_base_url: ServiceAddress | None = None
    every: Duration = timedelta(minutes=15)
    retention_days: Annotated[int, Field(ge=1, le=36_525)] | None = None
    webhook_token: Secret = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        secret = self.client_secret.get_secret_value() if self.client_secret else ""
        if (not self.client_id) != (not secret):
            missing = "client_secret" if self.client_id else "client_id"
            raise ValueError(f"{missing} is missing: Strava gives you both, and needs both")
        if self.client_id and not (self.client_id.isascii() and self.client_id.isdecimal()):
            # The value isn't shown, because it may be the secret if the two were swapped.
            raise ValueError(f"client_id is a number, as shown at {API_PAGE}")
        return self
