"""The services that Easeback can ask: a new one is a folder, and a line here."""

from collections.abc import Mapping

from worker.domain.matching import FILES_PRECEDENCE
from worker.domain.models import SourceName
from worker.sources.base import Source
from worker.sources.garmin.client import Garmin
from worker.sources.intervals.client import Intervals
from worker.sources.strava.client import Strava

SOURCES: tuple[type[Source], ...] = (Strava, Garmin, Intervals)
"""In the order in which they are asked."""

PRECEDENCE: Mapping[SourceName, int] = {
    **FILES_PRECEDENCE, **{kind.name: kind.precedence for kind in SOURCES}
}  # fmt: skip
"""Whose figures are believed first where sources disagree about a run: the lowest number's."""
