"""Easeback against the made intervals.icu."""
