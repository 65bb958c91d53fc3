"""The jobs of Easeback and what runs them.

`registry` is the only list of jobs. Three modules run it, and none of them names a job:

    once       everything that is due, in the order of the list, then the process exits
    embedded   one process, on APScheduler: each job in a thread of its own, at its interval
    cluster    several workers on one PostgreSQL database, on procrastinate

The store's tables record what is due and what was done. A run of a job that is missed or repeated
changes nothing. The result of each run is recorded as a tick (`ticks`), from which `health`
derives its verdict.
"""
