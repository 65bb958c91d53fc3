"""The services that Easeback supports. A new one is a folder, a line here and one in `sections`."""

from worker.sources.base import Source
from worker.sources.garmin.client import Garmin
from worker.sources.intervals.client import Intervals
from worker.sources.strava.client import Strava

SOURCES: tuple[type[Source], ...] = (Strava, Garmin, Intervals)
"""All services, in the order in which they are asked."""
