"""Shared by the repositories of a service: the stored rows, and the base class."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Table, and_, bindparam, select
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, SourceName
from worker.store.repository import Repository
from worker.store.tables import source_credential

FileState = Literal["due", "read", "none"]


@dataclass(frozen=True, slots=True)
class SeenActivity:
    """An activity as it was last seen: a run, or one that can't be read for a `reason`.

    `file` is the state of its original file, "none" if it has none. `silence` says why changes by
    the file may not be mailed, or is None.
    """

    external_id: str
    started_at: datetime | None
    payload: str
    reason: str | None = None
    edited: bool = False
    file: FileState = "none"
    file_due_at: datetime | None = None
    file_tries: int = 0
    silence: str | None = None


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A stored credential; `version` grows with each refresh and each connection."""

    account_id: str
    encrypted: bytes
    expires_at: datetime | None
    ends_at: datetime | None
    scopes: frozenset[str]
    version: int
    connected_at: datetime
    revoked_at: datetime | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """Our webhook subscription; `dropped` events named unknown accounts."""

    id: int
    callback_url: str
    made_at: datetime
    dropped: int


@dataclass(frozen=True, slots=True)
class OfSource(Repository):
    """The rows of one service."""

    source: SourceName

    def _is(self, table: Table) -> ColumnElement[bool]:
        is_ours: ColumnElement[bool] = table.c.source == self.source
        return is_ours

    def _of(
        self, athlete: Athlete, table: Table = source_credential
    ) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return table.c.athlete_id == athlete.id, self._is(table)

    def _athlete_ids(
        self, table: Table, *where: ColumnElement[bool], by: Sequence[Any], most: int
    ) -> tuple[int, ...]:
        ids = select(table.c.athlete_id).where(self._is(table), *where)
        return self._values(ids.order_by(*by).limit(most))


def theirs(table: Table) -> ColumnElement[bool]:
    """The condition for rows of one athlete (parameter `whose`) at one `service`."""
    return and_(table.c.athlete_id == bindparam("whose"), table.c.source == bindparam("service"))
