"""A transaction's repositories, over one connection.

Modules that only the worker and a few commands need are imported on first use, since commands that
only read should start fast.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from worker.domain.models import Athlete, SourceName
from worker.domain.rules import Rules
from worker.store.athletes import Athletes
from worker.store.findings import Findings
from worker.store.runs import Runs

if TYPE_CHECKING:
    from worker.store.addresses import AddressChanges
    from worker.store.checkins import CheckIns
    from worker.store.files import Imports, InboxFiles
    from worker.store.mail_login import MailLogins
    from worker.store.outbox import Outbox
    from worker.store.practice import Practice
    from worker.store.progress import LiveWorkers, Progress
    from worker.store.source_base import StoredCredential
    from worker.store.sources import SourceRows
    from worker.store.therapists import Therapists


class Transaction:
    """The repositories of the store.

    `rules` define which runs are plausible, and `precedence` which source is believed first.
    """

    def __init__(
        self, connection: Connection, rules: Rules, precedence: Mapping[SourceName, int]
    ) -> None:
        self.connection = connection
        self.athletes = Athletes(connection)
        self.findings = Findings(connection)
        self.runs = Runs(connection, rules, precedence)

    @cached_property
    def addresses(self) -> "AddressChanges":
        from worker.store.addresses import AddressChanges

        return AddressChanges(self.connection)

    @cached_property
    def checkins(self) -> "CheckIns":
        from worker.store.checkins import CheckIns

        return CheckIns(self.connection)

    @cached_property
    def imports(self) -> "Imports":
        from worker.store.files import Imports

        return Imports(self.connection)

    @cached_property
    def inbox(self) -> "InboxFiles":
        from worker.store.files import InboxFiles

        return InboxFiles(self.connection)

    @cached_property
    def mail_login(self) -> "MailLogins":
        from worker.store.mail_login import MailLogins

        return MailLogins(self.connection)

    @cached_property
    def outbox(self) -> "Outbox":
        from worker.store.outbox import Outbox

        return Outbox(self.connection)

    @cached_property
    def practice(self) -> "Practice":
        from worker.store.practice import Practice

        return Practice(self.connection)

    @cached_property
    def progress(self) -> "Progress":
        from worker.store.progress import Progress

        return Progress(self.connection)

    @cached_property
    def therapists(self) -> "Therapists":
        from worker.store.therapists import Therapists

        return Therapists(self.connection)

    @cached_property
    def workers(self) -> "LiveWorkers":
        from worker.store.progress import LiveWorkers

        return LiveWorkers(self.connection)

    def source(self, name: SourceName) -> "SourceRows":
        """The stored data of one service."""
        from worker.store.sources import SourceRows

        return SourceRows(self.connection, name)

    def credentials(self, athlete: Athlete) -> "Mapping[SourceName, StoredCredential]":
        """The athlete's credentials, by service."""
        from worker.store.sources import credentials_of

        return credentials_of(self.connection, athlete)
