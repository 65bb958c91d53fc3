"""The section `[garmin]` of the settings."""

from datetime import timedelta
from typing import ClassVar

from worker.setting_types import Duration, SourceSection
from worker.sources.base import ServiceAddress


class GarminSection(SourceSection):
    """Nothing is needed here: each athlete gives a key of their own."""

    precedence: ClassVar[int] = 1

    enabled: bool = True
    base_url: ServiceAddress = "https://personal.connectapi.garmin.com"
    every: Duration = timedelta(hours=1)
