"""Where runs come from: each source turns what it finds into recordings.

A source touches network or disk and nothing else: it gets what it must know as arguments and
returns values; the pipeline saves them. `base` says what a service is, `registry` which there are.
"""

from worker.sources.base import NotARun, NotRead, Reading, SourceError, Unreadable

__all__ = ["NotARun", "NotRead", "Reading", "SourceError", "Unreadable"]
