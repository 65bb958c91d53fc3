"""New mail addresses that athletes asked for. Each takes effect once confirmed; one at a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from worker.domain.models import Athlete
from worker.store.repository import Repository, from_row
from worker.store.tables import address_change

ADDRESS_WAITS = timedelta(hours=24)
"""How long a new address may be confirmed; and the time over which changes are counted."""

MOST_ADDRESSES = 3
"""The most addresses that are mailed for an athlete in that time, to protect strangers."""


@dataclass(frozen=True, slots=True)
class AddressChange:
    """An address that an athlete asked for; `code` is what its link has to know, "" once used.

    `number` were asked for since `counted_from`.
    """

    address: str
    code: str
    asked_at: datetime
    counted_from: datetime
    number: int


class AddressChanges(Repository):
    """At most one an athlete. A row stays for a day after it was used, to count by."""

    def ask(self, athlete: Athlete, address: str, *, code: str, now: datetime) -> bool:
        """Wait for this address, and for no other; False where too many were asked for."""
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
        """The address that may still be confirmed; None where there's none."""
        found = self._row(athlete)
        is_over = found is None or not found.code or now - found.asked_at > ADDRESS_WAITS
        return None if is_over else found

    def use(self, athlete: Athlete, code: str) -> bool:
        """Nothing waits from now on; False where this code wasn't the one that did."""
        whose = (address_change.c.athlete_id == athlete.id, address_change.c.code == code)
        return bool(code) and self._update(address_change, *whose, address="", code="") == 1

    def drop(self, athlete: Athlete) -> None:
        """Wait for no address any more."""
        whose = address_change.c.athlete_id == athlete.id
        self._update(address_change, whose, address="", code="")

    def forget_old(self, now: datetime) -> None:
        """Delete what can't be confirmed any more, and isn't counted by."""
        before = now - ADDRESS_WAITS
        is_old = (address_change.c.asked_at < before, address_change.c.counted_from < before)
        self._delete(address_change, *is_old)

    def _row(self, athlete: Athlete) -> AddressChange | None:
        whose = address_change.c.athlete_id == athlete.id
        row = self.connection.execute(select(address_change).where(whose)).one_or_none()
        return from_row(AddressChange, row) if row else None
