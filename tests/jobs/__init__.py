"""Tests of the jobs: the list, and the embedded scheduler that runs it."""
