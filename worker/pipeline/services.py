"""The services that the pipeline needs, assembled by `app`."""

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from worker.domain.models import Athlete, Email, SourceName
from worker.domain.routine import Routine
from worker.domain.rules import Rules
from worker.links import Signer
from worker.mail import Mailer, to_mime
from worker.notify import Composer
from worker.pipeline.mail_login import MailLogin
from worker.setting_types import BackupSection
from worker.sources.base import Source
from worker.sources.folder import Inbox
from worker.sources.formats.unpack import Member
from worker.store import Encrypter, Store, StoreError, Transaction

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """The name of this process among the workers that share the database.

    A worker counts as dead if it wasn't seen for `stale`.
    """

    name: str
    stale: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class ConnectedSource:
    """An enabled service, and what the pipeline needs to work with it.

    `client` makes the calls. `encrypter` encrypts credentials, and `signer` signs the cookies of
    consents. `read_file` reads a file by its bytes and name. `verify_token` is what the service
    must repeat when it checks our webhook, and `webhook_path` the path at which it posts to us.
    `wait` sleeps for a number of seconds, never with a transaction open. `jitter`, between 0 and
    1, spreads the athletes over time; it isn't used for secrets. While a call isn't answered, it
    is repeated on another connection every `another_every_s` seconds.
    """

    client: Source
    encrypter: Encrypter
    signer: Signer
    read_file: Callable[[bytes, str], Iterable[Member]]
    verify_token: str = ""
    webhook_path: str = ""
    wait: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    another_every_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Services:
    """The store, the inputs and outputs, and the operator's choices.

    `operator` is notified by mail of failures, and `therapist` of red flags, the latter only if
    `tells_red_flags`. `copies_alerts` says whether the practice gets copies of alerts and mails
    about red flags, of athletes who agree. `ping_url` is fetched while all is well. Copies of the
    database go to `backups_path`, or aren't made if it is None. `sources` has the enabled
    services by name. `mail_login` is the login to the mail server by tokens, or None.
    `keeps_runs_of` names the services whose runs stay when an athlete disconnects, enabled or
    not. `identity` is this process's name among several workers, or None if it is the only one.
    `doubts` says whether a time may be wrong; then no mail expires, no weekly mail is queued and
    nothing is tidied. `began_at` is when this worker began its jobs, or None in a single pass.
    """

    store: Store
    inbox: Inbox
    mailer: Mailer
    composer: Composer
    routines: tuple[Routine, ...]
    rules: Rules
    sender: str
    reply_to: str | None = None
    operator: str | None = None
    therapist: str | None = None
    copies_alerts: bool = False
    tells_red_flags: bool = True
    backup: BackupSection = field(default_factory=BackupSection)
    backups_path: Path | None = None
    ping_url: str | None = None
    sources: Mapping[SourceName, ConnectedSource] = field(default_factory=dict)
    mail_login: MailLogin | None = None
    keeps_runs_of: frozenset[SourceName] = frozenset()
    identity: WorkerIdentity | None = None
    doubts: Callable[[datetime], bool] = lambda _: False
    began_at: datetime | None = None


def for_each_due(due: Callable[[], Iterable[Athlete]], work: Callable[[Athlete], object]) -> None:
    """Do one kind of work once for each athlete for whom it is due.

    `due` may return them in portions. Athletes who are still due afterwards have failed, and are
    tried again later. An unexpected error is raised after all other athletes. Raises
    `StoreError` at once.
    """
    done: set[int] = set()
    unexpected: list[Exception] = []
    while fresh := [athlete for athlete in due() if athlete.id not in done]:
        for athlete in fresh:
            done.add(athlete.id)
            try:
                work(athlete)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001  raised below, after the others
                unexpected.append(error)
    if unexpected:
        raise unexpected[0]


def enqueue(
    tx: Transaction,
    services: Services,
    email: Email,
    *,
    athlete: Athlete | None,
    key: str,
    now: datetime,
) -> int | None:
    """Render a mail and queue it; None if one with this key was queued before."""
    # A mail to the reply address itself needs no Reply-To.
    reply_to = services.reply_to if email.recipient != services.reply_to else None
    message_id, mime = rendered(email, key=key, sender=services.sender, reply_to=reply_to, now=now)
    return tx.outbox.enqueue(
        athlete,
        kind=email.kind,
        key=key,
        message_id=message_id,
        sender=services.sender,
        recipient=email.recipient,
        mime=mime,
        now=now,
    )


def rendered(
    email: Email, *, key: str, sender: str, reply_to: str | None, now: datetime
) -> tuple[str, bytes]:
    """The Message-ID and the bytes of a mail; the same arguments give the same result."""
    domain = sender.rpartition("@")[2].strip("<> ") or "localhost"
    digest = hashlib.sha256(f"{key}|{email.recipient}|{now.isoformat()}".encode()).hexdigest()
    message_id = f"<{email.kind}.{digest[:32]}@{domain}>"
    return message_id, to_mime(
        email, message_id=message_id, date=now, sender=sender, reply_to=reply_to
    )
