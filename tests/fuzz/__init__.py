"""Fuzzing of every reader, by hand and for hours; not part of the test run."""
