"""The section of each service in the settings, by its name. The settings read nothing else of it.

Only the models are imported here, so that reading the settings doesn't load a client.
"""

from collections.abc import Mapping

from worker.model import SourceName
from worker.setting_types import SourceSection
from worker.sources.garmin.settings import GarminSection
from worker.sources.strava.settings import StravaSection

SECTIONS: Mapping[SourceName, type[SourceSection]] = {
    "strava": StravaSection,
    "garmin": GarminSection,
}
