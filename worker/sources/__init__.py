"""The sources of runs: each turns what it finds into recordings.

A source only uses the network or the disk. It receives what it needs as arguments and returns
values; the pipeline saves them. `readings` defines the results of reading a file, `base` defines a
service, and `registry` lists them.
"""

from worker.sources.readings import NotARun, NotRead, Reading, Unreadable

__all__ = ["NotARun", "NotRead", "Reading", "Unreadable"]
