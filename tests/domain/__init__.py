"""Tests of the rules: pure, on made histories."""
