"""Strava: consent, the list of activities, single activities, webhooks. No files.

`client` asks, `errors` explains Strava's errors, `parse` turns its JSON into recordings.
"""
