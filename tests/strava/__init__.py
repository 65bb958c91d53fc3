"""A Strava of our own: the documented service on loopback, for tests and trying.

`clock` is the time it lives in, `bodies` the JSON it answers with, `accounts` who is there and
what they recorded, `tokens` the OAuth half, `limits` the windows, `service` all of it behind one
question and answer, `server` the sockets, with the faults of real networks.
"""
