"""Jobs as the engine knows them: their names, queues, locks and urgency."""

from datetime import datetime, timedelta
from typing import Final

from procrastinate.jobs import Job

from worker.pipeline.chores import About, Chore

WORK: Final = "work"
AWAY: Final = "away"
"""Jobs that wait for somebody else's server; they have hands of their own."""

MAIL: Final = "mail"

SEND: Final = "send"
MOST_QUEUED = 500
"""Jobs of one chore that wait at a time: the rest is due as before, and queued as these are done.

So the queue stays short however many athletes there are, and with it every question to it.
"""

LOOK_FIRST: Final = 100
"""A look is short, and everything hangs on it."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def job_for(chore: Chore, athlete_id: int, about: About) -> Job:
    """One chore for one athlete: queued once, and alone with that athlete while it's done."""
    return Job(
        queue=AWAY if chore.away else WORK,
        task_name=chore.name,
        task_kwargs={"athlete_id": athlete_id, "about": list(about)},
        lock=f"athlete:{athlete_id}",
        queueing_lock=f"{chore.name}:{athlete_id}",
        priority=int(chore.urgency),
    )


def job_sending(lane: int) -> Job:
    """Send a batch of mails. A lane has one sender at a time: a hung server stops no more."""
    return Job(
        queue=MAIL,
        task_name=SEND,
        task_kwargs={"lane": lane},
        lock=f"{SEND}:{lane}",
        queueing_lock=f"{SEND}:{lane}",
    )


def job_looking(name: str, *, at: datetime | None = None) -> Job:
    """Look at what is due of one round, at some instant or now."""
    lock = look_name(name)
    return Job(
        queue=WORK,
        task_name=lock,
        lock=lock,
        queueing_lock=lock,
        priority=LOOK_FIRST,
        scheduled_at=at,
    )


def look_name(name: str) -> str:
    return f"look-{name}"


def cron(every: timedelta) -> str:
    """How the engine writes so often: in whole parts of a minute, an hour or a day, not fewer."""
    seconds = max(every.total_seconds(), 1.0)
    if seconds < _MINUTE_S:
        return f"* * * * * */{_part_of(_MINUTE_S, seconds)}"
    if seconds < _HOUR_S:
        return f"*/{_part_of(60, seconds / _MINUTE_S)} * * * * 0"
    if seconds < _DAY_S:
        return f"0 */{_part_of(24, seconds / _HOUR_S)} * * * 0"
    return "0 0 * * * 0"


def _part_of(whole: int, at_most: float) -> int:
    """The largest whole part of it that isn't longer than that."""
    return max(part for part in range(1, whole + 1) if whole % part == 0 and part <= at_most)
