"""The commands `runs` and `alerts`."""

from typing import TYPE_CHECKING, Any

import typer

from worker.cli.context import (
    AthleteOption,
    JsonOption,
    athletes_meant,
    command_of,
    format_distance,
)
from worker.domain.models import Athlete, Finding, Units

if TYPE_CHECKING:
    from worker.store import StoredFinding, StoredRun


def list_runs(
    context: typer.Context, athlete: AthleteOption = None, as_json: JsonOption = False
) -> None:
    """List the runs that count, oldest first."""
    command = command_of(context)
    with command.store.reading() as tx:
        kept = [
            (who, one)
            for who in athletes_meant(tx, athlete)
            for one in tx.runs.all(who)
            if one.quarantine is None
        ]
    kept.sort(key=lambda pair: (pair[1].run.started_at, pair[1].run.id))
    command.print_list(
        ("id", "athlete", "day", "distance", "time", "sport", "from"),
        [
            (
                str(one.run.id),
                who.name,
                f"{one.run.day:%a %Y-%m-%d}",
                format_distance(one.run.distance_m, who.units),
                _clock_time(one.run.moving_s or one.run.elapsed_s),
                one.run.sport + (" race" if one.run.is_race else ""),
                ", ".join(sorted({source for source, _ in one.sources})),
            )
            for who, one in kept
        ],
        as_json=as_json,
        json=[_run_json(who, one) for who, one in kept],
        empty="no runs yet: drop FIT files into the inbox, or `easeback import` them",
    )


def list_alerts(
    context: typer.Context, athlete: AthleteOption = None, as_json: JsonOption = False
) -> None:
    """List what was found, and what was mailed of it."""
    command = command_of(context)
    with command.store.reading() as tx:
        found = [
            (who, one) for who in athletes_meant(tx, athlete) for one in tx.findings.standing(who)
        ]
    found.sort(key=lambda pair: (pair[1].finding.day, pair[1].id))
    command.print_list(
        ("id", "athlete", "day", *FINDING_TITLES, "mail"),
        [
            (
                str(one.id),
                who.name,
                f"{one.finding.day:%a %Y-%m-%d}",
                *finding_cells(one.finding, who.units),
                mail_words(one),
            )
            for who, one in found
        ],
        as_json=as_json,
        json=[
            {
                "id": one.id,
                "athlete": who.name,
                **finding_json(one.finding),
                "run_id": one.finding.run_id,
                "mailed_at": one.mailed_at,
                "message_id": one.message_id,
            }
            for who, one in found
        ],
        empty="nothing was found so far (that doesn't mean safe)",
    )


FINDING_TITLES = ("kind", "weight", "ran", "against", "ratio")


def finding_cells(finding: Finding, units: Units) -> tuple[str, ...]:
    """What a table shows of a finding, below `FINDING_TITLES`."""
    return (
        finding.kind,
        str(finding.severity),
        format_distance(finding.observed_m, units),
        format_distance(finding.baseline_m, units),
        f"{finding.ratio:.2f}",
    )


def finding_json(finding: Finding) -> dict[str, Any]:
    """What the JSON has of a finding; distances in metres."""
    return {
        "day": finding.day,
        "kind": finding.kind,
        "severity": finding.severity,
        "observed": finding.observed_m,
        "baseline": finding.baseline_m,
        "ratio": finding.ratio,
    }


def _run_json(who: Athlete, kept: "StoredRun") -> dict[str, Any]:
    run = kept.run
    return {
        "id": run.id,
        "athlete": who.name,
        "started_at": run.started_at,
        "day": run.day,
        "distance_m": run.distance_m,
        "moving_s": run.moving_s,
        "elapsed_s": run.elapsed_s,
        "sport": run.sport,
        "sources": [
            {"source": source, "external_id": external_id} for source, external_id in kept.sources
        ],
    }


def mail_words(found: "StoredFinding") -> str:
    """What became of a finding's mail."""
    if found.mailed_at is not None:
        return f"mailed {found.mailed_at:%Y-%m-%d %H:%M} UTC"
    return "queued" if found.notified_on is not None else f"not mailed: {found.silence}"


def _clock_time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
