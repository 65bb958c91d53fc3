"""Tests of the rules, which are pure, on made histories."""
