"""Compares an original file with the service's list: whose figures are believed. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from worker.domain.models import Athlete, Recording, SourceName
from worker.sources import NotARun, Reading, Unreadable
from worker.sources.base import ListedActivity
from worker.sources.folder import recordings
from worker.sources.formats.unpack import Member

EDITED_SHARE = 0.01
"""If the list differs from the file by more, the athlete changed it at the service."""


def with_file(
    listed: ListedActivity,
    members: Sequence[Member],
    athlete: Athlete,
    *,
    source: SourceName,
    title: str,
    edited: bool = False,
) -> Reading:
    """The original file's recordings or, with the reason, the listed one if the file gives none.

    The listed distance is believed if it is known as `edited` or differs from the file's, because
    the athlete changed it. If a file has several sports, each running leg is a separate
    recording. `title` is the service's name, for sentences.
    """
    read = [recordings(member, athlete=athlete, source=source) for member in members]
    runs = next((runs for runs in read if isinstance(runs, tuple) and runs), ())
    if not runs:
        reasons = [m.parsed for m in members if not isinstance(m.parsed, tuple)]
        if reasons and isinstance(reasons[0], NotARun) and listed.has_legs:
            return reasons[0]
        reason = reasons[0].reason if reasons else f"{title}'s archive holds no file"
        return without_file(listed, reason, title=title)
    summary = listed.parsed
    if len(runs) == 1 and isinstance(summary, Recording):
        file_m = runs[0].distance_m
        if edited or abs(summary.distance_m - file_m) > EDITED_SHARE * file_m:
            return (replace(summary, edited=True, sha256=runs[0].sha256),)
    return tuple(
        replace(
            run,
            external_id=f"{listed.external_id}:{run.leg}" if run.leg else listed.external_id,
            title=listed.title or run.title,
            is_race=run.is_race or (isinstance(summary, Recording) and summary.is_race),
        )
        for run in runs
    )


def without_file(listed: ListedActivity, reason: str, *, title: str) -> Reading:
    """The listed recording alone, with the reason as a note; or the reason, if it needs a file."""
    summary = listed.parsed
    if isinstance(summary, Recording):
        return (replace(summary, note=f"by {title}'s summary: {reason}"),)
    known = "a multisport activity" if listed.has_legs else summary.reason
    return Unreadable(f"{known}: {reason}")
