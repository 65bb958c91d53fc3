"""The section `[garmin]` of the settings."""

from datetime import timedelta
from typing import ClassVar

from worker.setting_types import Duration, ServiceAddress, SourceSection


class GarminSection(SourceSection):
    """Requires no settings, because each athlete has their own key."""

    precedence: ClassVar[int] = 1

    enabled: bool = True
    base_url: ServiceAddress = "https://personal.connectapi.garmin.com"
    every: Duration = timedelta(hours=1)
