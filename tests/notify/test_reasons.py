"""Reasons that the rules and the services give in English, translated for each athlete."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import ModuleType

import pytest
import requests

from simulators import mail_facts as made
from worker.domain import detector, history
from worker.domain.detector import MailedAlert, worth_mailing
from worker.domain.history import History
from worker.domain.models import Run
from worker.domain.rules import Rules
from worker.notify.render import SHIPPED_LANGUAGES, Locale, TemplateLoader
from worker.pipeline import activities, edits, housekeeping, ingest
from worker.sources import base, http
from worker.sources.base import ApiKey
from worker.sources.intervals.client import HIDDEN_BY_STRAVA
from worker.sources.registry import SOURCES
from worker.sources.strava import errors
from worker.store import findings
from worker.web import fields

LOADER = TemplateLoader()
OTHERS = [language for language in SHIPPED_LANGUAGES if language != "en"]
DAY, NOW = made.DAY, datetime(2026, 2, 21, 18, tzinfo=UTC)


def why_not_mailed() -> Iterator[str]:
    """Each reason that is stored with a finding."""
    yield from (ingest.FIRST_FILES, ingest.IMPORTED, ingest.RESTORED_SINCE, ingest.MAILED_TOGETHER,
                ingest.UNSUBSCRIBED, ingest.PAUSED, housekeeping.EXPIRED, housekeeping.MATCHED_ANEW,
                findings.DROPPED,
                "Garmin was disconnected: nothing is mailed about that")  # fmt: skip
    yield from (
        text.format("intervals.icu") for text in (activities.FIRST_SYNC, activities.HISTORY)
    )
    rules, found = Rules(), made.finding(severity=2)
    known = History.of(made.runs(), rules=rules)
    for back, severity in ((1, 2), (1, 3), (30, 2), (30, 3)):
        mailed = [MailedAlert(DAY - timedelta(days=back), severity)]
        for one in (found, made.finding("month")):
            held = worth_mailing([one], mailed=mailed, today=DAY, rules=rules, history=known)
            if isinstance(held, str):
                yield held
    yield str(worth_mailing([], mailed=[], today=DAY, rules=rules))
    yield str(worth_mailing([found], mailed=[], today=DAY + timedelta(days=9), rules=rules))
    small = made.finding(observed_m=8_000, baseline_m=7_000, severity=1)
    yield str(worth_mailing([small], mailed=[], today=DAY, rules=rules, history=known))


def what_held_back() -> Iterator[str]:
    """Each gate that a signal met, over whole histories by several rules."""
    strict = replace(Rules(), run_min_runs=90, return_min_runs=90, ramp_min_m=9e6, month_min_m=9e6)
    for rules in (Rules(), strict, replace(Rules(), return_break_days=3)):
        for runs in (made.runs(), made.runs()[:3], made.runs()[::4]):
            known = History.of(runs, rules=rules)
            first = min(run.day for run in runs)
            for back in range(0, (DAY - first).days, 3):
                verdict = detector.judge_day(known, DAY - timedelta(days=back), rules=rules)
                yield from (signal.held_by for signal in verdict.signals if signal.held_by)


def why_not_counted() -> Iterator[str]:
    sound = Run(1, NOW, DAY, 9_000.0, 3_600.0)
    odd = (
        replace(sound, distance_m=0.0),
        replace(sound, day=date(1989, 1, 1)),
        replace(sound, day=DAY + timedelta(days=9), started_at=NOW + timedelta(days=9)),
        replace(sound, distance_m=9e6),
        replace(sound, moving_s=60.0),
    )
    yield from (str(history.implausible(run, today=DAY)) for run in odd)
    yield from edits._LEFT_OUT.values()


def raised(module: ModuleType, *names: str) -> Iterator[str]:
    """Each message that a module raises with these errors, with made-up figures."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        is_error = isinstance(node, ast.Call) and getattr(node.func, "id", "") in names
        if is_error and node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr):  # type: ignore[attr-defined]  # a call
            yield text_of(node.args[0])  # type: ignore[attr-defined]  # a call


def text_of(said: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(said, ast.Constant):
        return str(said.value)
    figures = {"run.day": "2026-02-21", "reason": "it has no distance", "why": "it has no distance",
               "what": "a date"}  # fmt: skip
    return "".join(
        str(part.value)
        if isinstance(part, ast.Constant)
        else figures.get(ast.unparse(part.value), "12")  # type: ignore[attr-defined]  # a figure
        for part in said.values
    )


def what_services_say() -> Iterator[str]:
    yield from (base.STALE_CONSENT_SAYS, HIDDEN_BY_STRAVA, errors.CODE_REFUSED, errors.REVOKED,
                errors.MISSING_SCOPE)  # fmt: skip
    for kind in SOURCES:
        client = kind(kind.section())
        yield str(client.rate_limited(NOW))
        for status in (401, 403, 404, 429, 500):
            yield str(client.refused(status, {}, NOW))
        for text in ("timed out", "NameResolution", "refused", "reset"):
            yield http._no_connection(requests.ConnectionError(text), client.title)
        if isinstance(client, ApiKey):
            yield from (str(client.wrong_key()), str(client.ended()))
            for key in ("", "two words"):
                with pytest.raises(ValueError, match="key") as error:
                    client.with_key(key, ends_at=None)
                yield str(error.value)


@pytest.mark.parametrize("language", OTHERS)
def test_each_reason_that_an_athlete_reads_is_known(language: str) -> None:
    """Others would be quoted in English."""
    words = LOADER.words("text", Locale(language))
    reasons = {
        *why_not_mailed(),
        *what_held_back(),
        *why_not_counted(),
        *raised(edits, "EditError"),
        *raised(fields, "EditError"),
        *what_services_say(),
    } - {""}
    assert len(reasons) > 60
    assert sorted(reason for reason in reasons if not words.knows_reason(reason)) == []
