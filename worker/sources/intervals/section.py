"""The section `[intervals]` of the settings."""

from datetime import timedelta
from typing import ClassVar

from worker.setting_types import Duration, ServiceAddress, SourceSection


class IntervalsSection(SourceSection):
    """Requires no settings, because each athlete has their own key."""

    precedence: ClassVar[int] = 1

    enabled: bool = True
    base_url: ServiceAddress = "https://intervals.icu"
    every: Duration = timedelta(hours=1)
