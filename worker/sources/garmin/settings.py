"""The settings `[garmin]`."""

from datetime import timedelta

from worker.setting_types import Duration, SourceSection


class GarminSection(SourceSection):
    """Nothing is needed here: each athlete gives a key of their own."""

    enabled: bool = True
    base_url: str = "https://personal.connectapi.garmin.com"
    every: Duration = timedelta(hours=1)
