"""What must hold at the end of a story, whatever killed its workers on the way.

`PROMISES` maps each promise, in words, to its check: (dry, outcome) → one line per violation.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from simulators.smtp_server import Taken
from tests.crash.launcher import End
from tests.crash.runners import Answer, confirmed
from tests.crash.sink import message_id
from tests.crash.strava import Lost, Strava
from worker.domain.files import Snapshot
from worker.store import Store
from worker.store.outbox import OutboxMail

_A_RUN = ("imported", "duplicate")

LEASE = timedelta(minutes=10)
"""How long a dead worker's lease keeps others from an athlete's grant."""


@dataclass(frozen=True, slots=True)
class Kill:
    """When a worker was killed, and what that left open."""

    at: datetime
    in_doubt: bool
    in_gap: bool

    @classmethod
    def of(cls, end: End, at: datetime) -> "Kill":
        return cls(at, end.in_doubt, end.in_gap)


@dataclass(frozen=True, slots=True)
class TokensOutcome:
    """The lost refresh tokens, and whether the stored one isn't Strava's current one.

    `passes` are the times of the worker's looks.
    """

    lost: tuple[Lost, ...] = ()
    astray: bool = False
    refreshed: int = 0
    passes: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a story: the mails taken, the store's content, and Strava's view."""

    taken: Mapping[str, tuple[bytes, ...]]
    letters: tuple[OutboxMail, ...]
    names: Mapping[str, str]
    runs: tuple[object, ...]
    findings: tuple[tuple[object, ...], ...]
    weeks: tuple[tuple[object, ...], ...]
    files: tuple[tuple[object, ...], ...]
    debris: tuple[str, ...]
    unsound: tuple[str, ...]
    confirmed: tuple[Answer, ...]
    diary: tuple[tuple[object, ...], ...]
    tokens: TokensOutcome = TokensOutcome()
    kills: tuple[Kill, ...] = ()

    @property
    def kills_in_doubt(self) -> int:
        return sum(kill.in_doubt for kill in self.kills)

    @property
    def kills_in_gap(self) -> int:
        return sum(kill.in_gap for kill in self.kills)


def outcome_of(store: Store, taken: Sequence[Taken], home: Path) -> Outcome:
    """Read everything that the promises need from the store, the sink and the folder."""
    by_id: dict[str, list[bytes]] = {}
    for mail in taken:
        by_id.setdefault(message_id(mail), []).append(mail.content)
    with store.reading() as tx:
        everybody = {athlete.id: athlete for athlete in tx.athletes.all()}
        ids = tx.connection.execute(text("SELECT id FROM outbox ORDER BY id")).scalars().all()
        letters = tuple(letter for i in ids if (letter := tx.outbox.by_id(i)) is not None)
        findings = tuple(
            (who.name, f.finding.day, f.finding.kind, f.finding.severity, f.silence, f.notified_on,
             f.message_id, f.withdrawn_at is not None)
            for who in everybody.values()
            for f in (*tx.findings.standing(who), *tx.findings.withdrawn(who))
        )  # fmt: skip
        runs = tuple(
            (who.name, kept.run.started_at, kept.run.distance_m, kept.sources, kept.quarantine)
            for who in everybody.values()
            for kept in tx.runs.all(who)
        )
        weeks = tuple(
            (everybody[row.athlete_id].name, str(row.week_starts_on), row.state)
            for row in tx.connection.execute(text("SELECT * FROM weekly"))
        )
        diary = tuple(
            (who.name, who.pain, *((one.feels, one.level, one.areas) for one in answers))
            for who in everybody.values()
            if (answers := tx.checkins.all(who))
        )
        files = tuple(
            (entry.path, *_verdict(entry), entry.sha256) for entry in tx.inbox.with_verdict()
        )
    return Outcome(
        taken={name: tuple(contents) for name, contents in by_id.items()},
        letters=letters,
        names=dict(_names(store)),
        runs=runs,
        findings=tuple(sorted(findings, key=str)),
        weeks=tuple(sorted(weeks, key=str)),
        files=tuple(sorted(files, key=str)),
        debris=tuple(str(path.relative_to(home)) for path in home.rglob("*.part")),
        unsound=tuple(_unsound(store)),
        confirmed=confirmed(home),
        diary=diary,
    )


def _verdict(entry: Snapshot) -> tuple[str, str]:
    """The outcome of a file. Whether Dee's run was known from Strava before isn't promised: a
    worker that died over her tokens leaves its lease behind, and then the file comes first. The
    check of runs covers that there is one run in the end with both its sources.
    """
    is_twin = entry.path.startswith("Dee/") and entry.verdict in _A_RUN
    return ("a run", "") if is_twin else (entry.verdict, entry.reason)


def tokens_of(
    store: Store, strava: Strava, *, key: str, passes: Sequence[datetime]
) -> TokensOutcome:
    """The refresh tokens according to Strava and the store together."""
    with store.reading() as tx:
        astray = any(strava.is_astray(tx, who, key=key) for who in tx.athletes.all())
    lost = tuple(strava.lost.values())
    return TokensOutcome(lost, astray, strava.tokens.refreshed, tuple(passes))


def _names(store: Store) -> Iterator[tuple[str, str]]:
    """A name for each mail's subject that is the same in every life."""
    about_alert = text(
        "SELECT o.message_id, a.name, f.day, f.kind FROM outbox o "
        "JOIN finding f ON f.outbox_id = o.id JOIN athlete a ON a.id = f.athlete_id"
    )
    about_week = text(
        "SELECT o.message_id, a.name, w.week_starts_on FROM outbox o "
        "JOIN weekly w ON w.outbox_id = o.id JOIN athlete a ON a.id = w.athlete_id"
    )
    about_others = text("SELECT message_id, key FROM outbox WHERE kind NOT IN ('alert', 'weekly')")
    with store.reading() as tx:
        for row in tx.connection.execute(about_others):
            yield row.message_id, row.key
        for row in tx.connection.execute(about_alert):
            yield row.message_id, f"alert to {row.name} about {row.kind} on {row.day}"
        for row in tx.connection.execute(about_week):
            yield row.message_id, f"weekly to {row.name} of {row.week_starts_on}"


def _unsound(store: Store) -> Iterator[str]:
    if store.file is None:
        return
    with store.reading() as tx:
        found = tx.connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        broken = tx.connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    yield from (line for line in found if line != "ok")
    yield from (f"dangling: {row}" for row in broken)


Check = Callable[[Outcome, Outcome], Iterator[str]]


def no_mail_lost(dry: Outcome, found: Outcome) -> Iterator[str]:
    """Every mail of the undisturbed story was accepted at least once."""
    sent = {dry.names[name] for name in dry.taken if name in dry.names}
    got = {found.names[name] for name in found.taken if name in found.names}
    yield from sorted(sent - got)
    yield from (
        f"{letter.key} is marked as sent, and nobody has it"
        for letter in found.letters
        if letter.state == "sent" and letter.message_id not in found.taken
    )


def no_mail_unowed(_: Outcome, found: Outcome) -> Iterator[str]:
    """Every accepted mail is in the outbox, marked as sent."""
    states = {letter.message_id: letter.state for letter in found.letters}
    for name in found.taken:
        if states.get(name) != "sent":
            yield f"{name} was taken and stands as {states.get(name)}"


def no_mail_twice(_: Outcome, found: Outcome) -> Iterator[str]:
    """A second copy only if a kill left a mail in doubt; with the same bytes, and flagged."""
    flagged = {letter.message_id for letter in found.letters if letter.perhaps_twice}
    extra = 0
    for name, copies in found.taken.items():
        extra += len(copies) - 1
        if len(copies) > 1 and name not in flagged:
            yield f"{len(copies)} copies of {found.names.get(name, name)}, and none flagged"
        if len(set(copies)) > 1:
            yield f"the copies of {name} differ"
    if extra > found.kills_in_doubt:
        yield f"{extra} second copies after {found.kills_in_doubt} kills with a mail in doubt"
    if len(flagged) > found.kills_in_doubt:
        yield f"{len(flagged)} flagged after {found.kills_in_doubt} kills with a mail in doubt"


def no_finding_untold(dry: Outcome, found: Outcome) -> Iterator[str]:
    """Each finding is there once, with its mail or the reason why there's none."""

    def what(one: tuple[object, ...]) -> tuple[object, ...]:
        name, day, kind, severity, silence, told_on, sent_as, withdrawn = one
        return (name, day, kind, severity, silence, told_on, sent_as is not None, withdrawn)

    yield from _differences(map(what, dry.findings), map(what, found.findings))
    for name, day, kind, _, silence, told_on, _, withdrawn in found.findings:
        if not withdrawn and silence is None and told_on is None:
            yield f"{name} {day} {kind}: neither mail nor reason"


def no_run_amiss(dry: Outcome, found: Outcome) -> Iterator[str]:
    """The same runs, once and complete, from the same files with the same verdicts."""
    yield from _differences(dry.runs, found.runs)
    yield from _differences(dry.files, found.files)


def no_week_amiss(dry: Outcome, found: Outcome) -> Iterator[str]:
    """Every week is mailed or skipped as in the undisturbed story; none is queued twice."""
    yield from _differences(dry.weeks, found.weeks)
    queued = Counter(letter.key for letter in found.letters if letter.kind == "weekly")
    yield from (f"{key} stands {n} times" for key, n in queued.items() if n > 1)


def no_token_lost(_: Outcome, found: Outcome) -> Iterator[str]:
    """A refresh token is lost only on the wire, noticed within a cycle and reported in one mail."""
    tokens = found.tokens
    number = len(tokens.lost) + tokens.astray
    if number > found.kills_in_gap:
        yield f"{number} refresh tokens lost after {found.kills_in_gap} kills in the gap"
    told = [one.created_at for one in found.letters if one.kind == "reconnect"]
    if len(told) != len(tokens.lost):
        yield f"{len(tokens.lost)} lost tokens found, and {len(told)} mails to connect again"
    for lost in tokens.lost:
        if not any(abs(at - lost.found_at) < LEASE for at in told):
            yield f"the token lost at {lost.lost_at} was found at {lost.found_at}, and no mail then"
        missed = [at for at in _undisturbed(found) if lost.lost_at + LEASE <= at < lost.found_at]
        yield from (f"the token lost at {lost.lost_at} wasn't missed at {at}" for at in missed)


def _undisturbed(found: Outcome) -> Iterator[datetime]:
    """The looks that neither a dead worker's lease nor a kill disturbed."""
    for at in found.tokens.passes:
        if not any(at - LEASE < kill.at <= at for kill in found.kills):
            yield at


def no_answer_lost(dry: Outcome, found: Outcome) -> Iterator[str]:
    """Confirmed answers are in the diary: one for each day, the latest."""
    yield from _differences(dry.confirmed, found.confirmed)
    yield from _differences(dry.diary, found.diary)


def nothing_left_over(dry: Outcome, found: Outcome) -> Iterator[str]:
    """No mail half-way, no torn file, an intact database; the same mails given up."""
    for letter in found.letters:
        if letter.state not in {"sent", "dead"}:
            yield f"{letter.key} stands as {letter.state}"
    dead = [sorted(_about(one)) for one in (dry, found)]
    yield from _differences(*dead)
    yield from (f"left over: {path}" for path in found.debris)
    yield from found.unsound


def _about(outcome: Outcome) -> Iterator[str]:
    for letter in outcome.letters:
        if letter.state == "dead":
            yield f"{outcome.names.get(letter.message_id, letter.key)}: {letter.last_error}"


def _differences(wanted: object, got: object) -> Iterator[str]:
    counts = Counter(wanted), Counter(got)  # type: ignore[call-overload]  # any iterables will do
    yield from (f"missing: {one}" for one in counts[0] - counts[1])
    yield from (f"too much: {one}" for one in counts[1] - counts[0])


PROMISES: Mapping[str, Check] = {
    "no mail lost": no_mail_lost,
    "no mail that nobody owed": no_mail_unowed,
    "no mail twice without need": no_mail_twice,
    "no finding without its mail or the reason": no_finding_untold,
    "no run missing, doubled or partial": no_run_amiss,
    "no week skipped or told twice": no_week_amiss,
    "no refresh token lost but on the wire": no_token_lost,
    "no confirmed answer lost": no_answer_lost,
    "nothing left over": nothing_left_over,
}


def broken(dry: Outcome, found: Outcome) -> dict[str, list[str]]:
    """The broken promises, each with its violations."""
    judged = {words: list(check(dry, found)) for words, check in PROMISES.items()}
    return {words: wrong for words, wrong in judged.items() if wrong}
