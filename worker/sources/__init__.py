"""Where runs come from: each source turns what it finds into recordings.

A source only touches the network or the disk. It receives what it needs as arguments and returns
values; the pipeline saves them. `base` defines a service, and `registry` lists them.
"""

from worker.sources.base import NotARun, NotRead, Reading, SourceError, Unreadable

__all__ = ["NotARun", "NotRead", "Reading", "SourceError", "Unreadable"]
