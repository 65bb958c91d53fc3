"""Garmin Connect by the official Personal API: key, token, list, original files.

`client` asks, `parse` turns its JSON into recordings.
"""
