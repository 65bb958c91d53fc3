"""The command `alerts`."""

from typing import TYPE_CHECKING, Any

import typer

from worker.cli.context import AthleteOption, JsonOption, athletes_meant, command_of
from worker.domain.models import Finding, Units
from worker.domain.shown import format_distance

if TYPE_CHECKING:
    from worker.store import StoredFinding


def list_alerts(
    context: typer.Context, athlete: AthleteOption = None, as_json: JsonOption = False
) -> None:
    """List what was found, and whether it was mailed."""
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
    """The cells of a finding in a table with the header `FINDING_TITLES`."""
    return (
        finding.kind,
        str(finding.severity),
        format_distance(finding.observed_m, units),
        format_distance(finding.baseline_m, units),
        f"{finding.ratio:.2f}",
    )


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding in JSON; distances are in metres."""
    return {
        "day": finding.day,
        "kind": finding.kind,
        "severity": finding.severity,
        "observed": finding.observed_m,
        "baseline": finding.baseline_m,
        "ratio": finding.ratio,
    }


def mail_words(found: "StoredFinding") -> str:
    """The state of a finding's mail, in words."""
    if found.mailed_at is not None:
        return f"mailed {found.mailed_at:%Y-%m-%d %H:%M} UTC"
    return "queued" if found.notified_on is not None else f"not mailed: {found.silence}"
