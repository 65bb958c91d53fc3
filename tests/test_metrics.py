"""The counters of a process: mails, calls to services and job runs."""

from datetime import UTC, datetime

import pytest

from tests.app import App
from worker.metrics import counters, timed_call, timed_job
from worker.notify import NoticeFacts
from worker.pipeline.services import enqueue
from worker.sources.base import RateLimited


def counted(name: str, **labels: str) -> float:
    return counters().registry.get_sample_value(name, labels) or 0.0


def test_a_call_is_counted_by_how_it_ended() -> None:
    """The call's duration is counted too, whatever its outcome."""
    ok = counted("easeback_source_calls_total", source="made", status="ok")
    with timed_call("made"):
        pass
    with pytest.raises(RateLimited), timed_call("made"):
        raise RateLimited("later", resets_at=datetime(2026, 2, 1, tzinfo=UTC))
    assert counted("easeback_source_calls_total", source="made", status="ok") == ok + 1
    assert counted("easeback_source_calls_total", source="made", status="rate_limited") == 1
    assert counted("easeback_source_call_seconds_count", source="made") == 2


def test_a_run_of_a_job_is_counted_by_how_it_ended() -> None:
    with timed_job("made"):
        pass
    with pytest.raises(KeyError), timed_job("made"):
        raise KeyError
    assert counted("easeback_job_runs_total", job="made", outcome="ok") == 1
    assert counted("easeback_job_runs_total", job="made", outcome="failed") == 1
    assert counted("easeback_job_run_seconds_count", job="made") == 2


def test_a_file_of_the_inbox_is_counted_by_what_came_of_it(app: App) -> None:
    app.athlete()
    before = counted("easeback_files_total", outcome="failed")
    app.drop("bad.fit", b"xx")
    app.look(2)
    assert counted("easeback_files_total", outcome="failed") == before + 1


def test_a_mail_is_counted_by_kind_and_outcome(app: App) -> None:
    anna = app.athlete()
    before = counted("easeback_mails_total", kind="notice", outcome="sent")
    facts = NoticeFacts("operator@example.org", "A mail couldn't be delivered.", ("A line.",))
    notice = app.services.composer.notice(facts)
    with app.services.store.transaction() as tx:
        enqueue(tx, app.services, notice, athlete=anna, key="k", now=app.now)
    app.deliver()
    assert counted("easeback_mails_total", kind="notice", outcome="sent") == before + 1
