"""What is known about each service before its code is loaded: its settings and its precedence.

This is separate from `registry`, so that commands that only read start without loading services.
"""

from collections.abc import Mapping

from worker.domain.matching import FILES_PRECEDENCE
from worker.domain.models import SourceName
from worker.setting_types import SourceSection
from worker.sources.garmin.section import GarminSection
from worker.sources.intervals.section import IntervalsSection
from worker.sources.strava.section import StravaSection

SECTIONS: Mapping[SourceName, type[SourceSection]] = {
    "strava": StravaSection,
    "garmin": GarminSection,
    "intervals": IntervalsSection,
}

PRECEDENCE: Mapping[SourceName, int] = {
    **FILES_PRECEDENCE, **{name: section.precedence for name, section in SECTIONS.items()}
}  # fmt: skip
"""Which source is believed first if sources disagree about a run: the lowest number."""
