"""Strava: consent, the list of activities, single ones, webhooks. No files.

`client` asks, `errors` says what Strava's errors mean, `parse` turns its JSON into recordings.
"""
