"""New mail addresses that athletes requested, one at a time. Each takes effect once confirmed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from worker.domain.models import Athlete
from worker.store.repository import Repository, from_row
from worker.store.tables import address_change

ADDRESS_WAITS = timedelta(hours=24)
"""How long a new address can be confirmed, and the period over which changes are counted."""

MOST_ADDRESSES = 3
"""The most new addresses that are mailed for an athlete in that period, to protect strangers."""


@dataclass(frozen=True, slots=True)
class AddressChange:
    """A requested address; `code` is the secret in its link, or "" once it was used.

    `number` addresses were requested since `counted_from`.
    """

    address: str
    code: str
    asked_at: datetime
    counted_from: datetime
    number: int


class AddressChanges(Repository):
    """At most one row for each athlete. A row stays for a day after use, for counting."""

    def ask(self, athlete: Athlete, address: str, *, code: str, now: datetime) -> bool:
        """Save a requested address in place of any other; False if there were too many."""
        before = self._row(athlete)
        since, number = now, 0
        if before is not None and abs(now - before.counted_from) < ADDRESS_WAITS:
            since, number = before.counted_from, before.number
        if number >= MOST_ADDRESSES:
            return False
        row = {
            "athlete_id": athlete.id,
            "address": address,
            "code": code,
            "asked_at": now,
            "counted_from": since,
            "number": number + 1,
        }
        self._upsert(address_change, [row])
        return True

    def waiting(self, athlete: Athlete, *, now: datetime) -> AddressChange | None:
        """The address that can still be confirmed, or None."""
        found = self._row(athlete)
        is_over = found is None or not found.code or now - found.asked_at > ADDRESS_WAITS
        return None if is_over else found

    def use(self, athlete: Athlete, code: str) -> bool:
        """Mark the waiting address as used; False if its code is another."""
        whose = (address_change.c.athlete_id == athlete.id, address_change.c.code == code)
        return bool(code) and self._update(address_change, *whose, address="", code="") == 1

    def drop(self, athlete: Athlete) -> None:
        """Cancel a waiting address."""
        whose = address_change.c.athlete_id == athlete.id
        self._update(address_change, whose, address="", code="")

    def forget_old(self, now: datetime) -> None:
        """Delete addresses that can't be confirmed any more and don't count any more."""
        before = now - ADDRESS_WAITS
        is_old = (address_change.c.asked_at < before, address_change.c.counted_from < before)
        self._delete(address_change, *is_old)

    def _row(self, athlete: Athlete) -> AddressChange | None:
        whose = address_change.c.athlete_id == athlete.id
        row = self.connection.execute(select(address_change).where(whose)).one_or_none()
        return from_row(AddressChange, row) if row else None
