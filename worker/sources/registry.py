"""The services that Easeback can ask: a new one is a folder, and a line here."""

from worker.sources.base import Source
from worker.sources.garmin.client import Garmin
from worker.sources.strava.client import Strava

SOURCES: tuple[type[Source], ...] = (Strava, Garmin)
"""In the order in which they are asked."""
