"""A Strava of our own: the documented service on loopback, for tests and trying.

`bodies` is the JSON it answers with, `accounts` who is there and what they recorded, `tokens` the
OAuth half, `limits` the windows, `service` all of it behind one question and answer, `browser` a
runner who answers the consent page. The sockets are those of `simulators.http_server`.
"""
