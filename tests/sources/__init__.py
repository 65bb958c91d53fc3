"""Tests of the sources: file formats, archives, Strava, Garmin."""
