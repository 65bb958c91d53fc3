"""The login to the mail server by tokens: at most one row, with what renews them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from worker.store.repository import Repository, from_row
from worker.store.tables import mail_login

_ONLY = 1


@dataclass(frozen=True, slots=True)
class StoredMailLogin:
    """The login's user name and encrypted token; `trouble` says why it no longer works."""

    username: str
    encrypted: bytes
    connected_at: datetime
    trouble: str | None = None


class MailLogins(Repository):
    """The only login, or none."""

    def get(self) -> StoredMailLogin | None:
        row = self.connection.execute(select(mail_login)).first()
        return from_row(StoredMailLogin, row) if row else None

    def connect(self, username: str, *, encrypted: bytes, now: datetime) -> None:
        """Save a login in place of any other."""
        row = {"id": _ONLY, "username": username, "encrypted": encrypted}
        self._upsert(mail_login, [{**row, "connected_at": now, "trouble": None}])

    def renew(self, before: StoredMailLogin, *, encrypted: bytes) -> None:
        """Save a token in place of an earlier one, unless that has been replaced or deleted."""
        self._update(mail_login, mail_login.c.encrypted == before.encrypted, encrypted=encrypted)

    def failed(self, login: StoredMailLogin, *, trouble: str) -> None:
        """Save that a login no longer works, unless another one has replaced it."""
        self._update(mail_login, mail_login.c.encrypted == login.encrypted, trouble=trouble)

    def forget(self) -> None:
        self._delete(mail_login)
