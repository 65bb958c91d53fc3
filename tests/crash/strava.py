"""The simulated Strava of the fortnight: its activities depend on the story's time alone.

It runs in the harness's process and outlives every worker, so its tokens are restored when a life
begins in the middle. A refresh token is invalid as soon as it's used. A token that is used a second
time was lost on the way to the worker; that is noted.
"""

import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from simulators.strava.accounts import Account, Activity, Diary
from simulators.strava.limits import Limits
from simulators.strava.service import Answer, Question, Service
from simulators.strava.tokens import Tokens
from tests.crash.story import at_strava
from worker.domain.models import Athlete
from worker.store import DecryptError, Encrypter, Transaction

_FIRST_ID = 15_000_000_001


@dataclass(frozen=True, slots=True)
class Lost:
    """A refresh token whose answer was lost: when, and when it was last tried again."""

    lost_at: datetime
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """Strava's state at some time, to restore later."""

    tokens: Tokens = field(default_factory=Tokens)
    limits: Limits = field(default_factory=Limits)
    spent_at: tuple[tuple[str, datetime], ...] = ()
    lost: tuple[tuple[str, Lost], ...] = ()


@dataclass
class Strava(Service):
    """One account; `stage` is the file with the current time."""

    stage: Path = Path("instant")
    spent_at: dict[str, datetime] = field(default_factory=dict)
    lost: dict[str, Lost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runner = self.account("Dee")

    def answer(self, question: Question) -> Answer:
        """Answer with the activities of the current time."""
        self.clock.now = datetime.fromisoformat(self.stage.read_text())
        self.diary = _diary(self.runner, self.clock.now)
        answer = super().answer(question)
        token = question.form.get("refresh_token")
        if token is not None:
            self._note(token, taken=answer.status == 200)
        return answer

    def _note(self, token: str, *, taken: bool) -> None:
        if taken:
            self.spent_at[token] = self.clock.now
        elif token in self.spent_at:
            self.lost[token] = Lost(self.spent_at[token], self.clock.now)

    def memory(self) -> Memory:
        return Memory(
            copy.deepcopy(self.tokens),
            copy.deepcopy(self.limits),
            tuple(self.spent_at.items()),
            tuple(self.lost.items()),
        )

    def recall(self, memory: Memory) -> None:
        """Restore that state."""
        self.tokens = copy.deepcopy(memory.tokens)
        self.limits = copy.deepcopy(memory.limits)
        self.spent_at, self.lost = dict(memory.spent_at), dict(memory.lost)
        self.log.clear()

    def is_astray(self, tx: Transaction, athlete: Athlete, *, key: str) -> bool:
        """True if the athlete's grant, valid as far as we know, isn't what Strava accepts."""
        kept = tx.source("strava").credential(athlete)
        if kept is None or kept.revoked_at is not None:
            return False
        try:
            told = Encrypter((key,)).decrypt(kept.encrypted)
        except DecryptError:
            return True
        living = self.tokens.consents.get(int(kept.account_id))
        return living is None or living.refresh_token not in told


def _diary(owner: Account, now: datetime) -> Diary:
    shown = [_activity(owner, _FIRST_ID + number, day, km) for number, day, km in at_strava(now)]
    return Diary({activity.id: activity for activity in shown})


def _activity(owner: Account, number: int, day: date, km: float) -> Activity:
    began = datetime.combine(day, time(6), tzinfo=UTC)
    moving = timedelta(minutes=6) * km
    seconds = int(moving.total_seconds())
    return Activity(number, owner, began, km * 1000, seconds, seconds)
