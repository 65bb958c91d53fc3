"""Ingest: recordings become runs, runs become findings, and at most one of those a queued mail.

    inbox:  scan ─→ stable files ─→ read ─→ recordings ─┐
    other sources: recordings ──────────────────────────┴─→ `ingest`: one transaction

Files are read while no transaction is open. `ingest` runs inside the caller's transaction, so
that a finding and its mail are saved together or not at all.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from worker.domain import detector, planner, routine
from worker.domain.checkins import FORTNIGHT
from worker.domain.history import History
from worker.domain.models import Athlete, FileVerdict, Finding, Recording, Snapshot, Verdict
from worker.domain.shown import counted
from worker.domain.weeks import local_day
from worker.metrics import counters
from worker.notify import AlertFacts
from worker.notify.alert import BLOCKS_SHOWN
from worker.pipeline.alert_copies import queue_copies
from worker.pipeline.exports import belonging, with_rows
from worker.pipeline.services import Services, enqueue, for_each_due
from worker.sources import NotARun, NotRead, Reading, Unreadable
from worker.sources.base import SourceError
from worker.sources.folder import UNLISTED, top_folder
from worker.sources.formats.table_names import table_kind
from worker.sources.formats.unpack import Member
from worker.store import Change, InboxFolder, SourceState, StoredFinding, Transaction

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
    """What one scan of the inbox came to; `failed` holds each file with its reason."""

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

    Raises `SourceError` where the folder can't be read.
    """
    stable = scan_inbox(services, now)
    if not stable:
        return TakenIn()
    done: list[Snapshot] = []
    owners = {athlete.id: athlete for _, athlete in stable}
    for_each_due(
        owners.values,
        lambda athlete: _ingest_files(
            services, athlete, [file for file, owner in stable if owner.id == athlete.id], done, now
        ),
    )
    return TakenIn.of(done)


def take_in_theirs(
    services: Services, athlete: Athlete, folders: Collection[str], now: datetime
) -> TakenIn:
    """Ingest one athlete's files that are stable in these folders of the inbox.

    To be called once a scan found some there. Twice is once: a file has one verdict.
    """
    stable, _, _ = _compare(services, services.inbox.scan(folders), now, is_whole=False)
    done: list[Snapshot] = []
    _ingest_files(
        services, athlete, [file for file, who in stable if who.id == athlete.id], done, now
    )
    return TakenIn.of(done)


def folders_with_news(services: Services, now: datetime) -> Mapping[int, Sequence[str]]:
    """Scan the whole inbox: returns for whom files are stable, and in which folders."""
    found: dict[int, set[str]] = {}
    for file, athlete in scan_inbox(services, now):
        found.setdefault(athlete.id, set()).add(top_folder(file.path))
    return {athlete_id: sorted(folders) for athlete_id, folders in found.items()}


def scan_inbox(services: Services, now: datetime) -> list[tuple[Snapshot, Athlete]]:
    """Scan once: saves what waits, and returns the stable files, each with its athlete."""
    try:
        scanned = services.inbox.scan()
    except SourceError:
        _note_missing(services, now)
        raise
    _check_folder(services, len(scanned), now)
    stable, waiting, gone = _compare(services, scanned, now, is_whole=True)
    if waiting or gone:
        with services.store.transaction() as tx:
            tx.inbox.wait(waiting, now=now)
            tx.inbox.drop(gone)
        for file in waiting:
            if file.size == UNLISTED and file.scans == 1:
                # Logged once; `status` repeats it. Names of folders may name people.
                log.warning("inbox: a folder or file %(why)s; `easeback status` names it",
                            {"why": file.reason})  # fmt: skip
                log.debug("inbox: %(file)s %(why)s", {"file": file.path, "why": file.reason})
    return stable


def _note_missing(services: Services, now: datetime) -> None:
    """Save since when the folder that files lay in can't be listed."""
    with services.store.reading() as tx:
        before = tx.inbox.folder()
    if before and before.missing_at is None:
        with services.store.transaction() as tx:
            tx.inbox.save_folder(replace(before, missing_at=now))


def _check_folder(services: Services, files: int, now: datetime) -> None:
    """Remember the folder with its number of files; raises `SourceError` for an empty mount point.

    That is an empty folder which isn't the one that files lay in: one that was only tidied up is.
    """
    inbox = services.inbox
    identity, is_empty = inbox.identity()
    with services.store.reading() as tx:
        before = tx.inbox.folder()
    seen = InboxFolder(identity, files)
    if before and is_empty and _is_another(services, before, identity):
        seen = replace(before, missing_at=before.missing_at or now)
    if seen != before and (before or files):
        with services.store.transaction() as tx:
            tx.inbox.save_folder(seen)
    if seen.missing_at:
        raise SourceError(
            f"the inbox {inbox.folder} is empty since {seen.missing_at:%Y-%m-%d %H:%M} "
            f"UTC, and isn't the folder that held {counted(seen.files, 'file')} before: "
            "mount that again, or put a file here to begin anew"
        )
    inbox.listed = identity


def inbox_is_missing(services: Services) -> bool:
    """True for an empty mount point; raises `SourceError` where the inbox can't be listed."""
    identity, is_empty = services.inbox.identity()
    with services.store.reading() as tx:
        before = tx.inbox.folder()
    return before is not None and is_empty and _is_another(services, before, identity)


def _is_another(services: Services, before: InboxFolder, identity: str) -> bool:
    """Whether files lay in the folder that was scanned before, and this isn't it.

    Several workers may know the same folder by different numbers, each by its own machine's.
    """
    return before.files > 0 and identity not in (before.identity, services.inbox.listed)


def _compare(
    services: Services, scanned: Sequence[Snapshot], now: datetime, *, is_whole: bool
) -> tuple[list[tuple[Snapshot, Athlete]], list[Snapshot], list[str]]:
    """Compare a scan with the database: stable files, those still waiting, and paths that are gone.

    A scan that equals the last settled one is only compared for waiting files, and for files that
    were completed since they were judged bad. Waiting files whose state the database already has
    aren't returned.
    """
    with services.store.reading() as tx:
        known = {file.path: file for file in tx.inbox.with_verdict("waiting", "unread")}
        bad = tx.inbox.judged_bad()
        here = {file.path for file in scanned} if known or bad else set()
        # Where a member of an archive couldn't be read, the archive is read again.
        wanted = {_itself_or_archive(path, here) for path in known}
        wanted |= {
            top
            for path, judged_at in bad.items()
            if (top := _itself_or_archive(path, here)) and services.inbox.was_filled(top, judged_at)
        }
        gone = [
            path for path in known
            if is_whole and _itself_or_archive(path, here) is None
        ]  # fmt: skip
        # Verdicts only leave the database with an athlete.
        departed = tx.athletes.departed()
        fingerprint = hash((departed, *(file for file in scanned if file.path not in wanted)))
        if fingerprint == services.inbox.settled:
            news = [file for file in scanned if file.path in wanted] if wanted else []
            known |= tx.inbox.at_paths([file.path for file in news if file.path not in known])
        else:
            known |= tx.inbox.at_paths([file.path for file in scanned if file.path not in known])
            news = [
                file
                for file in scanned
                if (before := known.get(file.path)) is None
                or file.path in wanted
                or not _same(before, file)
            ]
            if is_whole and all(file.path in wanted for file in news):
                services.inbox.settled = fingerprint
        athletes: Sequence[Athlete] = ()
        if news:
            # Whether there is one athlete or several shows in the first two.
            in_folders = tx.athletes.of_folders(frozenset(top_folder(file.path) for file in news))
            athletes = tuple({a.id: a for a in (*in_folders, *tx.athletes.first(2))}.values())
    stable: list[tuple[Snapshot, Athlete]] = []
    waiting: list[Snapshot] = []
    for file in news:
        before = known.get(file.path)
        if before is None or not _same(before, file):
            waiting.append(file)
            continue
        again = file._replace(scans=before.scans + 1)
        judged = services.inbox.judge(again, athletes)
        if isinstance(judged, Athlete):
            if services.inbox.is_due(file, now):
                stable.append((again, judged))
        elif (judged.scans, judged.reason) != (before.scans, before.reason):
            waiting.append(judged)
    return stable, waiting, gone


def _itself_or_archive(path: str, here: Collection[str]) -> str | None:
    """Returns the file at this path, or the archive that this is a member of, where it's here."""
    while path and path not in here:
        path = path.rpartition("/")[0]
    return path or None


def _same(one: Snapshot, other: Snapshot) -> bool:
    return (one.size, one.mtime_ns) == (other.size, other.mtime_ns)


def _ingest_files(
    services: Services,
    athlete: Athlete,
    files: Sequence[Snapshot],
    done: list[Snapshot],
    now: datetime,
) -> None:
    """Read one athlete's stable files and ingest them, a batch a transaction; `done` grows."""
    if not files:
        return
    # What a table says about the files beside it is known from the files.
    files = sorted(files, key=lambda file: table_kind(file.path) is not None)
    with services.store.reading() as tx:
        # The first files may take several batches, and a crash may come between two of them: what
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
            # Where a file was written over, what it held before is forgotten.
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
            tx.progress.source(athlete, "inbox", state_now)
        for one in verdicts:
            counters().files.labels(one.verdict).inc()
        for file, _, readings in read:
            unread = any(isinstance(reading, NotRead) for reading in readings)
            is_bad = any(isinstance(reading, Unreadable) for reading in readings)
            services.inbox.note(file, now, unread=unread, is_bad=is_bad)
        done += verdicts
        for file in verdicts:
            # Names of files may name people, and the log outlives a deleted athlete.
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
    """What came of a file; of an archive also of each member that gave no run.

    `before` is what is known of the file at this path.
    """
    each: list[FileVerdict] = [verdict_of(reading, change, claimed) for reading in readings]
    verdict = min(each, key=_BY_INTEREST.index)
    if before and before.verdict == "imported" and _same(before, file):
        verdict = "imported"  # it is read again for what couldn't be read of it then
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


# What a reading comes to


def runs_in(reading: Reading) -> tuple[Recording, ...]:
    """Returns the recordings of a reading that has some."""
    return reading if isinstance(reading, tuple) else ()


def verdict_of(reading: Reading, change: Change, claimed: set[int]) -> FileVerdict:
    """Returns what came of a file. A run that another file of the same batch brought isn't new.

    A mere word on a run brings none. `claimed` collects the ids of the new runs that earlier files
    of the batch brought.
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
    """Returns why a reading gives no run, or what had to be recovered; "" where there's nothing."""
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

    `silence` says why nothing of it may be mailed (a first sync, an import), else None.
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
    """Hold the athlete, and judge in silence what imports have saved since they last judged."""
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
    """Judge every day from `since` on, as runs there went, or count by other rules.

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
    """Withdraw what no longer holds from `since` on, and queue the mail that is due.

    At most one finding is mailed; why each other isn't is saved with it.
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
        # What a restored backup doesn't know of may have been mailed before.
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
    # One thread with the mails about the same episode.
    earlier = tx.findings.notified(
        athlete, since=day - timedelta(days=services.rules.mail_thread_days)
    )
    ids = [one.message_id for one in earlier if one.message_id and one.id != choice.id]
    email = services.composer.alert(replace(facts, reply_to_id=ids[0] if ids else None))
    # The other findings of its day are in the same mail.
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
    """All facts of the alert about this finding, except the mail that it answers."""
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
