"""The counters of this process for Prometheus.

Counters begin at zero with each process, as Prometheus expects, and `/metrics` shows those of the
process that serves it. What all processes of a database share (mails in the outbox, files, the
state of jobs) is read from the store at each scrape and isn't counted here. No label names a
person: labels are names of jobs, services, kinds and outcomes, which are few.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_JOB_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 180)
_CALL_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_MAKING = Lock()


@dataclass(frozen=True, slots=True)
class Counters:
    """Everything that this process counts; `registry` shows it."""

    registry: "CollectorRegistry"
    mails: "Counter"
    files: "Counter"
    calls: "Counter"
    call_seconds: "Histogram"
    job_runs: "Counter"
    job_seconds: "Histogram"


def counters() -> Counters:
    """The counters of this process, created on first use.

    A pass without work thus doesn't import the Prometheus client.
    """
    with _MAKING:
        return _made()


@cache
def _made() -> Counters:
    from prometheus_client import (
        CollectorRegistry,
        Counter,
        Histogram,
        ProcessCollector,
        disable_created_metrics,
    )

    # Otherwise the text format has another gauge for the creation time of each counter.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return Counters(
        registry,
        mails=Counter(
            "easeback_mails",
            "Attempts to send a mail, by result: sent, to_retry, given_up, put_back.",
            ["kind", "outcome"],
            registry=registry,
        ),
        files=Counter(
            "easeback_files",
            "Files of the inbox that were processed, by result.",
            ["outcome"],
            registry=registry,
        ),
        calls=Counter(
            "easeback_source_calls",
            "Calls to services, by result: ok, or the error.",
            ["source", "status"],
            registry=registry,
        ),
        call_seconds=Histogram(
            "easeback_source_call_seconds",
            "How long calls to services took.",
            ["source"],
            buckets=_CALL_SECONDS,
            registry=registry,
        ),
        job_runs=Counter(
            "easeback_job_runs",
            "Runs of each job, by result: ok or failed.",
            ["job", "outcome"],
            registry=registry,
        ),
        job_seconds=Histogram(
            "easeback_job_run_seconds",
            "How long runs of jobs took.",
            ["job"],
            buckets=_JOB_SECONDS,
            registry=registry,
        ),
    )


@contextmanager
def timed_call(source: str) -> Iterator[None]:
    """Count a call to a service and how long it takes; its status is `ok` or the error's name."""
    status = "ok"
    with counters().call_seconds.labels(source).time():
        try:
            yield
        except Exception as error:
            status = _CAPITAL.sub("_", type(error).__name__).lower()
            raise
        finally:
            counters().calls.labels(source, status).inc()


@contextmanager
def timed_job(job: str) -> Iterator[None]:
    """Count a run of a job and how long it takes."""
    outcome = "failed"
    with counters().job_seconds.labels(job).time():
        try:
            yield
            outcome = "ok"
        finally:
            counters().job_runs.labels(job, outcome).inc()
