"""A whole Easeback for one test: real store, real folder, real composer, a clock that is set.

    app = App(...)                              # the `app` fixture
    anna = app.athlete("Anna")
    app.runs(anna, steady(until=TODAY))         # a history, stored without mails
    app.drop("big.fit", km=16)                  # a FIT file in the watched folder
    app.look(); app.look()                      # two equal looks bring it in
    app.pass_on()                               # everything that's due, mail included

Only the mail server is fake (`ScriptedMailer`), at its port.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from simulators.mail_lint import lint
from simulators.recordings import TODAY, recording, run_file, steady
from worker.domain import weeks
from worker.domain.models import Athlete, Finding, Recording, WeeklyHour
from worker.jobs.once import Pass, one_pass
from worker.mail import SendError
from worker.pipeline.deliver import Delivered, deliver
from worker.pipeline.ingest import TakenIn, ingest, take_in_inbox
from worker.pipeline.services import Services
from worker.store import Change
from worker.store.outbox import OutboxMail

__all__ = [
    "ADDED",
    "NOW",
    "TODAY",
    "App",
    "ScriptedMailer",
    "recording",
    "refused",
    "run_file",
    "steady",
]

NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
ADDED = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class ScriptedMailer:
    """A fake mail server: each entry of `answers` is for one mail.

    None accepts the mail; an error refuses it before the final dot, or after it in a pair ("dot",
    error). When `answers` has run out, every mail is accepted. Each mail is linted.
    """

    answers: list[BaseException | tuple[str, BaseException] | None] = field(default_factory=list)
    taken: list[EmailMessage] = field(default_factory=list)
    tries: int = 0
    connections: int = 1

    @contextmanager
    def connected(self) -> Iterator[None]:
        yield

    def send(
        self, mime: bytes, *, sender: str, recipient: str, before_dot: Callable[[], None]
    ) -> None:
        self.tries += 1
        lint(mime)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        before_dot()
        if answer is not None:
            raise answer[1]
        self.taken.append(message_from_bytes(mime, policy=policy.default))

    def check(self) -> str:
        return "scripted"

    def kinds(self) -> list[str]:
        """The kinds of the accepted mails."""
        return [str(mail["X-Easeback-Kind"]) for mail in self.taken]


@dataclass
class App:
    """The services of one test, and its current time."""

    services: Services
    mailer: ScriptedMailer
    now: datetime = NOW

    def clock(self) -> datetime:
        return self.now

    @property
    def inbox(self) -> Path:
        return self.services.inbox.folder

    def at(self, day: date, hour: int = 18, minute: int = 0) -> "App":
        """Set the clock, in UTC."""
        self.now = datetime.combine(day, time(hour, minute), tzinfo=UTC)
        return self

    def athlete(self, name: str = "Anna", **changes: object) -> Athlete:
        """Add an athlete; `changes` replace fields."""
        told: dict[str, object] = {
            "id": 0,
            "name": name,
            "email": f"{name.casefold()}@example.org",
            "added_at": ADDED,
            "timezone": "Europe/Berlin",
            "weekly": WeeklyHour(),
        }
        wanted = Athlete(**{**told, **changes})  # type: ignore[arg-type]  # what a test names
        with self.services.store.transaction() as tx:
            added = tx.athletes.add(wanted)
            # Nothing from before the test's time is due.
            upcoming = weeks.next_weekly_due(added, max(self.now, added.added_at))
            tx.athletes.weekly_done(added, next_at=upcoming.due_at)
        return added

    def runs(
        self,
        athlete: Athlete,
        recordings: Iterable[Recording],
        *,
        silence: str | None = "made for the test",
    ) -> Change:
        """Ingest recordings as from a source, without mails."""
        with self.services.store.transaction() as tx:
            return ingest(tx, self.services, athlete, recordings, now=self.now, silence=silence)

    def arrive(self, athlete: Athlete, *recordings: Recording) -> Change:
        """Ingest recordings that may be mailed about."""
        return self.runs(athlete, recordings, silence=None)

    def drop(self, name: str, content: bytes | None = None, *, km: float = 8.0,
             day: date = TODAY) -> Path:  # fmt: skip
        """Put a file into the watched folder: `content`, or else a run of `km` that morning."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(run_file(km, day=day) if content is None else content)
        return path

    def look(self, times: int = 1) -> TakenIn:
        """Look at the folder; returns the result of the last look."""
        seen = TakenIn()
        for _ in range(times):
            seen = take_in_inbox(self.services, self.now)
        return seen

    def pass_on(self) -> Pass:
        """One whole pass of everything that is due."""
        return one_pass(self.services, self.clock)

    def deliver(self) -> Delivered:
        return deliver(self.services, self.clock)

    def findings(self, athlete: Athlete) -> tuple[Finding, ...]:
        with self.services.store.reading() as tx:
            return tuple(found.finding for found in tx.findings.standing(athlete))

    def silences(self, athlete: Athlete) -> list[str | None]:
        """For each current finding the reason why it was not mailed, or None."""
        with self.services.store.reading() as tx:
            return [found.silence for found in tx.findings.standing(athlete)]

    def unsent(self) -> tuple[OutboxMail, ...]:
        with self.services.store.reading() as tx:
            return tx.outbox.unsent()

    def waiting(self) -> dict[str, str]:
        """The waiting files, each with its reason."""
        with self.services.store.reading() as tx:
            return {one.path: one.reason for one in tx.inbox.with_verdict("waiting")}

    def distances_km(self, athlete: Athlete) -> list[float]:
        """The distances of the runs that count, oldest first."""
        with self.services.store.reading() as tx:
            return [round(run.distance_m / 1000, 2) for run in tx.runs.counted(athlete)]


def refused(message: str = "451 later", **how: bool) -> SendError:
    """An answer of the mail server; temporary by default."""
    return SendError(message, **{"permanent": False, **how})
