"""Tests of intervals.icu, against the simulator on loopback."""
