"""Strava as a source: consent, the list of activities, single ones, webhooks.

`grants` is who may ask for what, `rows` turns the service's JSON into recordings, `refusals` its
errors into plain words, `budget` its rate limits into how many calls are left; what to ask next is
decided one room up, as for every polled source. All of those are pure and light; `client` asks,
over `wire`, and brings the HTTP libraries with it. Nothing in this room stores anything or sleeps:
whoever calls keeps grants, budget and progress.
"""
