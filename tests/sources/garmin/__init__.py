"""Tests of Garmin, against the simulator on loopback."""
