"""Tests of Strava, against the simulator on loopback."""
