"""A simulated Strava: the documented service on loopback, for tests and for trying out.

`bodies` has the JSON of the answers, `accounts` the accounts and their activities, `tokens` OAuth,
`limits` the rate limits, `service` the request handling, `browser` a runner who answers the consent
page. The sockets are in `simulators.http_server`.
"""
