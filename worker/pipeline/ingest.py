"""Ingest: recordings become runs, runs become findings, and at most one of those a queued mail.

    inbox:  scan ─→ stable files ─→ read ─→ recordings ─┐
    other sources: recordings ──────────────────────────┴─→ `ingest`: one transaction

Files are read while no transaction is open. `ingest` runs inside the caller's transaction, so
that a finding and its mail are saved together or not at all.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from worker.domain import detector, planner, routine
from worker.domain.checkins import FORTNIGHT
from worker.domain.files import FileVerdict, Snapshot
from worker.domain.history import History
from worker.domain.models import Athlete, Finding, Recording, Verdict
from worker.domain.weeks import local_day
from worker.metrics import counters
from worker.notify import AlertFacts
from worker.notify.alert import BLOCKS_SHOWN
from worker.pipeline.alert_copies import queue_copies
from worker.pipeline.exports import belonging, with_rows
from worker.pipeline.scan import scan_inbox, stable_in
from worker.pipeline.services import Services, enqueue, for_each_due
from worker.sources import NotARun, NotRead, Reading, Unreadable
from worker.sources.formats.table_names import table_kind
from worker.sources.formats.unpack import Member
from worker.store import Change, StoredFinding, Transaction
from worker.store.progress import SourceState

log = logging.getLogger(__name__)

FILES_AT_ONCE = 200
"""Files ingested in one transaction: enough to be quick, few enough to let others write."""

FIRST_FILES = "it came with the first files: nothing is mailed about the past"
IMPORTED = "it was imported: nothing is mailed about the past"
RESTORED_SINCE = "a backup was restored since: it may have been mailed before"
MAILED_TOGETHER = "it was told in the mail about another finding"
UNSUBSCRIBED = "alerts are unsubscribed"
PAUSED = "mails were paused"

CHART_WEEKS = 14
"""Weeks of runs that a mail is given, a few more than its chart shows."""

_BY_INTEREST: tuple[FileVerdict, ...] = (
    "imported", "duplicate", "unread", "failed", "skipped", "waiting"
)  # fmt: skip
_REASONS = 3


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The result of one scan of the inbox; `failed` holds each file with its reason."""

    imported: int = 0
    duplicate: int = 0
    skipped: int = 0
    unread: int = 0
    failed: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, files: Collection[Snapshot]) -> "TakenIn":
        """Counts the verdicts on files."""
        number_of = [file.verdict for file in files].count
        return cls(
            number_of("imported"),
            number_of("duplicate"),
            number_of("skipped"),
            number_of("unread"),
            tuple((file.path, file.reason) for file in files if file.verdict == "failed"),
        )


# The inbox


def take_in_inbox(services: Services, now: datetime) -> TakenIn:
    """Scan the watched folder once, and ingest every file that is stable.

    Raises `SourceError` if the folder can't be read.
    """
    stable = scan_inbox(services, now)
    if not stable:
        return TakenIn()
    done: list[Snapshot] = []
    files_of: dict[int, list[Snapshot]] = {}
    for file, athlete in stable:
        files_of.setdefault(athlete.id, []).append(file)
    owners = {athlete.id: athlete for _, athlete in stable}
    for_each_due(
        owners.values,
        lambda athlete: _ingest_files(services, athlete, files_of[athlete.id], done, now),
    )
    return TakenIn.of(done)


def take_in_theirs(
    services: Services, athlete: Athlete, folders: Collection[str], now: datetime
) -> TakenIn:
    """Ingest one athlete's files that are stable in these folders of the inbox.

    To be called once a scan found some there. Calling it twice changes nothing.
    """
    stable = stable_in(services, folders, now)
    theirs = [file for file, owner in stable if owner.id == athlete.id]
    done: list[Snapshot] = []
    _ingest_files(services, athlete, theirs, done, now)
    return TakenIn.of(done)


def _ingest_files(
    services: Services,
    athlete: Athlete,
    files: Sequence[Snapshot],
    done: list[Snapshot],
    now: datetime,
) -> None:
    """Read one athlete's stable files and ingest them in batches; appends them to `done`."""
    if not files:
        return
    # Tables come last, because their rows refer to the files beside them.
    files = sorted(files, key=lambda file: table_kind(file.path) is not None)
    with services.store.reading() as tx:
        # The first files may take several batches, and a crash may come between two of them. What
        # is saved by then must not make the rest mailable.
        state = tx.progress.sources(athlete).get("inbox")
        is_first = not tx.runs.any(athlete) or (state is not None and state.state == "waiting")
    silence = FIRST_FILES if is_first else None
    for first in range(0, len(files), FILES_AT_ONCE):
        batch = files[first : first + FILES_AT_ONCE]
        left = len(files) - first - len(batch)
        read = [
            (file, *with_rows(services.inbox, file, members, athlete))
            for file, members in services.inbox.read(batch)
        ]
        with services.store.transaction() as tx:
            # If a file was overwritten, its earlier contents are dropped.
            before = tx.inbox.at_paths([file.path for file, _, _ in read])
            replaced_on: list[date] = []
            for file, members, readings in read:
                old = before[file.path].sha256 if file.path in before else None
                if (
                    old is not None
                    and [one.sha256 for one in members] != [old]
                    and not any(isinstance(reading, NotRead) for reading in readings)
                    and all(one.path == file.path for one in tx.inbox.with_content(old))
                ):
                    dropped = tx.runs.drop_content(
                        athlete, "inbox", old, today=local_day(athlete, now)
                    )
                    if dropped.first_day is not None:
                        replaced_on.append(dropped.first_day)
            arrived = [run for _, _, readings in read for one in readings for run in runs_in(one)]
            change = ingest(
                tx,
                services,
                athlete,
                belonging(tx, athlete, arrived),
                now=now,
                silence=silence,
                also_since=min(replaced_on, default=None),
            )
            claimed: set[int] = set()
            verdicts = [
                verdict
                for file, members, readings in read
                for verdict in _verdicts(
                    file, members, readings, before.get(file.path), change, claimed
                )
            ]
            archives = [file.path for file, members, _ in read if _is_archive(file, members)]
            tx.inbox.drop_members(archives)
            tx.inbox.save((one._replace(athlete_id=athlete.id) for one in verdicts), now=now)
            state_now = SourceState("waiting" if silence and left else "ok", now, backlog=left)
            tx.progress.save_source(athlete, "inbox", state_now)
        for one in verdicts:
            counters().files.labels(one.verdict).inc()
        for file, _, readings in read:
            unread = any(isinstance(reading, NotRead) for reading in readings)
            is_bad = any(isinstance(reading, Unreadable) for reading in readings)
            services.inbox.note(file, now, unread=unread, is_bad=is_bad)
        done += verdicts
        for file in verdicts:
            # File names may name people, and the log outlives deleted athletes.
            log.info(
                "inbox: %(verdict)s, a file of athlete %(athlete)s",
                {"verdict": file.verdict, "athlete": athlete.id},
            )
            log.debug(
                "inbox: %(verdict)s %(file)s: %(why)s",
                {"verdict": file.verdict, "file": file.path, "why": file.reason or "a run"},
            )


def _is_archive(file: Snapshot, members: Sequence[Member]) -> bool:
    return any(one.name != Path(file.path).name for one in members)


def _verdicts(
    file: Snapshot,
    members: Sequence[Member],
    readings: Sequence[Reading],
    before: Snapshot | None,
    change: Change,
    claimed: set[int],
) -> Iterator[Snapshot]:
    """The verdict on a file, and for an archive, on each member that gave no run.

    `before` is what was known of the file at this path.
    """
    each: list[FileVerdict] = [verdict_of(reading, change, claimed) for reading in readings]
    verdict = min(each, key=_BY_INTEREST.index)
    if before and before.verdict == "imported" and file.is_as_before(before):
        verdict = "imported"  # only read again for members that failed then
    reasons = [
        reason
        for reading in readings
        if (reason := reason_of(reading)) and (verdict == "unread" or type(reading) is not NotRead)
    ]
    if verdict == "duplicate":
        reasons.insert(0, "the run is known already")
    more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
    sha256 = members[0].sha256 if len(members) == 1 else None
    if verdict == "unread" and before:
        sha256 = before.sha256
    yield file._replace(verdict=verdict, reason="; ".join(reasons[:_REASONS]) + more, sha256=sha256)
    if not _is_archive(file, members):
        return
    for number, (member, reading, of_member) in enumerate(
        zip(members, readings, each, strict=True), 1
    ):
        if of_member in ("failed", "skipped", "unread") and of_member != verdict:
            name = member.name.removeprefix(Path(file.path).name).lstrip("/") or f"file {number}"
            yield file._replace(
                path=f"{file.path}/{name}", verdict=of_member, reason=reason_of(reading)
            )


# The result of a reading


def runs_in(reading: Reading) -> tuple[Recording, ...]:
    """Returns the recordings of a reading, if it has any."""
    return reading if isinstance(reading, tuple) else ()


def verdict_of(reading: Reading, change: Change, claimed: set[int]) -> FileVerdict:
    """Returns the verdict on a file. A run that another file of the same batch brought isn't new.

    Nor does a mere correction bring a new run. `claimed` collects the ids of the new runs that
    earlier files of the batch brought.
    """
    if isinstance(reading, NotARun):
        return "skipped"
    if isinstance(reading, Unreadable):
        return "failed"
    if isinstance(reading, NotRead):
        return "unread"
    told = [r for r in reading if not r.about]
    new = {change.run_of[r.source, r.external_id] for r in told if change.is_new(r)} - claimed
    claimed |= new
    return "imported" if new else "duplicate"


def reason_of(reading: Reading) -> str:
    """Returns why a reading gives no run, or what had to be recovered; "" for neither."""
    if not isinstance(reading, tuple):
        return reading.reason
    return "; ".join(recording.note for recording in reading if recording.note)


# Recordings → runs → findings → queued mail


def ingest(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    arrived: Iterable[Recording],
    *,
    now: datetime,
    silence: str | None = None,
    also_since: date | None = None,
) -> Change:
    """Save recordings, derive their runs, and judge every day that changed.

    `silence` says why nothing about it may be mailed (a first sync, an import), else None.
    `also_since` is the first day of another change that belongs to this one.
    """
    judge_overdue(tx, services, athlete, now=now)
    change = tx.runs.save(athlete, arrived, now=now, today=local_day(athlete, now))
    if also_since is not None:
        since = min(also_since, change.first_day or also_since)
        judge_since(tx, services, athlete, since=since, now=now, silence=silence)
    elif change.first_day is not None:
        _judge(tx, services, athlete, since=change.first_day, now=now, silence=silence)
    return change


def judge_overdue(tx: Transaction, services: Services, athlete: Athlete, *, now: datetime) -> None:
    """Lock the athlete, and judge without mail what imports have saved but not judged."""
    since = tx.imports.hold_unjudged(athlete)
    if since is not None:
        judge_since(tx, services, athlete, since=since, now=now, silence=IMPORTED)
        tx.imports.judged(athlete)


def judge_since(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    *,
    since: date,
    now: datetime,
    silence: str | None = None,
) -> None:
    """Judge every day from `since` on, because runs were dropped or the rules changed.

    `silence` as in `ingest`.
    """
    tx.athletes.plan_changed(athlete, now=now)
    _judge(tx, services, athlete, since=since, now=now, silence=silence)


def _judge(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    *,
    since: date,
    now: datetime,
    silence: str | None,
) -> None:
    """Withdraw the findings that no longer hold from `since` on, and queue the mail that is due.

    At most one finding is mailed; each of the others is saved with the reason why it isn't.
    """
    today = local_day(athlete, now)
    history = tx.runs.history(athlete, since=since, rules=services.rules)
    days = [day for day in history.days() if day >= since]
    verdicts = {
        day: detector.judge_day(history, day, rules=services.rules, race=athlete.race)
        for day in days
    }
    found = [finding for verdict in verdicts.values() for finding in verdict.findings]
    risen = tx.findings.reconcile(athlete, since=since, found=found, now=now)
    if not risen:
        return
    restored_at = tx.progress.restored_at()
    if restored_at is not None:
        # These may have been mailed after the restored backup was made.
        restored_on = local_day(athlete, restored_at)
        tx.findings.silence((o for o in risen if o.finding.day <= restored_on), RESTORED_SINCE)
        risen = tuple(one for one in risen if one.finding.day > restored_on)
    if not risen:
        return
    choice = silence or _choose(tx, services, athlete, risen, history, today=today)
    if isinstance(choice, str):
        tx.findings.silence(risen, choice)
        return
    day = choice.finding.day
    facts = alert_facts(tx, services, athlete, choice.finding, verdicts[day], history, now=now)
    # The mail continues the thread of the same episode.
    earlier = tx.findings.notified(
        athlete, since=day - timedelta(days=services.rules.mail_thread_days)
    )
    ids = [one.message_id for one in earlier if one.message_id and one.id != choice.id]
    email = services.composer.alert(replace(facts, reply_to_id=ids[0] if ids else None))
    # The mail includes the other findings of its day.
    mailed = detector.MailedAlert(today, choice.finding.severity)
    for one in risen:
        if one.id != choice.id:
            why = detector.worth_mailing(
                [one.finding], mailed=[mailed], today=today, rules=services.rules
            )
            together = one.finding.day == day or not isinstance(why, str)
            tx.findings.silence([one], MAILED_TOGETHER if together else str(why))
    key = f"alert:{choice.id}:{choice.finding.severity}"
    outbox_id = enqueue(tx, services, email, athlete=athlete, key=key, now=now)
    if outbox_id is not None:
        tx.findings.mark_notified(choice, outbox_id=outbox_id, on=today)
        queue_copies(tx, services, athlete, choice, diary=facts.diary, now=now)


def _choose(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    risen: Sequence[StoredFinding],
    history: History,
    *,
    today: date,
) -> StoredFinding | str:
    """Returns the finding to mail, or why none is."""
    if not athlete.gets("alert"):
        return UNSUBSCRIBED if "alert" not in athlete.wants else PAUSED
    since = today - timedelta(days=services.rules.mail_forget_days)
    told = [
        detector.MailedAlert(one.notified_on, one.notified_severity)
        for one in tx.findings.notified(athlete, since=since)
        if one.notified_on is not None and one.notified_severity is not None
    ]
    by_finding = {one.finding: one for one in risen}
    choice = detector.worth_mailing(
        list(by_finding), mailed=told, today=today, rules=services.rules, history=history
    )
    return choice if isinstance(choice, str) else by_finding[choice]


def alert_facts(
    tx: Transaction,
    services: Services,
    athlete: Athlete,
    finding: Finding,
    verdict: Verdict,
    history: History,
    *,
    now: datetime,
) -> AlertFacts:
    """All facts of the alert about this finding, except the mail that it replies to."""
    rules = services.rules
    days = max(7 * CHART_WEEKS, BLOCKS_SHOWN * rules.month_days, rules.run_window_days)
    shown = history.between(finding.day - timedelta(days=days), finding.day)
    return AlertFacts(
        athlete=athlete,
        finding=finding,
        verdict=verdict,
        runs=tuple(run for session in shown for run in session.runs),
        steps=routine.prescribe(services.routines, pain=athlete.pain, severity=finding.severity),
        recovery=planner.recovery(history, finding.day, rules=rules),
        rules=rules,
        now=now,
        diary=tx.checkins.since(athlete, local_day(athlete, now) - FORTNIGHT),
    )
