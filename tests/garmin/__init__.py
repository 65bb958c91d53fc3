"""A Garmin of our own: the Personal API as it's documented, on loopback, for tests and trying.

`service` is who is there, what they recorded and how questions are answered; the sockets, with the
faults of real networks, are the made Strava's. Nothing here has seen the live service.
"""
