"""The therapists of the practice, and which athletes agreed to copies of their alerts."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.sql.elements import ColumnElement

from worker.domain.models import Athlete, folder_name
from worker.domain.practice import Therapist
from worker.store.repository import Repository, from_row
from worker.store.tables import COPY_KEY, UNSENT_STATES, outbox
from worker.store.tables import athlete as athlete_table
from worker.store.tables import therapist as table


class TherapistNameTakenError(ValueError):
    """A therapist with this name exists already."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Whether alerts about an athlete are copied to the practice, which both must agree to.

    `agreed_at` is when the athlete agreed, or None. `are_off`: the practice turned them off.
    """

    agreed_at: datetime | None
    are_off: bool


class Therapists(Repository):
    """Every therapist sees every athlete. Names are unique, whatever their case."""

    def add(self, therapist: Therapist) -> Therapist:
        """Save a new therapist (their ids are ignored); raises `TherapistNameTakenError`."""
        taken = self.named(therapist.name)
        if taken is not None:
            raise TherapistNameTakenError(f"there is a therapist called {taken.name} already")
        values = {name: getattr(therapist, name) for name in _PLAIN}
        saved = self.connection.execute(insert(table).values(values).returning(table))
        return from_row(Therapist, saved.one())

    def all(self) -> Sequence[Therapist]:
        """All therapists, by name."""
        rows = self._rows(select(table).order_by(table.c.name))
        return [from_row(Therapist, row) for row in rows]

    def named(self, name: str) -> Therapist | None:
        wanted = folder_name(name)
        return next((one for one in self.all() if folder_name(one.name) == wanted), None)

    def of_link(self, link_id: str) -> Therapist | None:
        """The therapist of a link; None if it was closed or the therapist was deleted."""
        rows = self._rows(select(table).where(table.c.link_id == link_id))
        return from_row(Therapist, rows[0]) if rows else None

    def relink(self, therapist: Therapist) -> Therapist:
        """Close all links of one therapist; returns the therapist with the new link id."""
        link_id = secrets.token_urlsafe(12)
        self._update(table, table.c.id == therapist.id, link_id=link_id)
        return replace(therapist, link_id=link_id)

    def close_links(self) -> None:
        """Close all links of every therapist."""
        for one in self.all():
            self.relink(one)

    def remove(self, therapist: Therapist) -> None:
        """Delete a therapist; their links are closed, and no copy is sent to them."""
        self._delete(table, table.c.id == therapist.id)
        self._drop_waiting_copies(outbox.c.key.endswith(f":{therapist.id}"))

    # Copies of alerts

    def copies(self, athlete: Athlete) -> Copies:
        """Whether this athlete's alerts are copied."""
        query = select(athlete_table.c.copies_agreed_at, athlete_table.c.copies_off)
        row = self.connection.execute(query.where(athlete_table.c.id == athlete.id)).one()
        return Copies(row.copies_agreed_at, row.copies_off)

    def save_consent(self, athlete: Athlete, *, agreed_at: datetime | None) -> None:
        """Save when the athlete agreed to copies; None withdraws that, and drops waiting ones."""
        self._update(athlete_table, athlete_table.c.id == athlete.id, copies_agreed_at=agreed_at)
        if agreed_at is None:
            self._drop_waiting_copies(outbox.c.athlete_id == athlete.id)

    def turn_copies(self, athlete: Athlete, *, on: bool) -> None:
        """Save whether the practice wants copies about an athlete who agrees to them."""
        self._update(athlete_table, athlete_table.c.id == athlete.id, copies_off=not on)
        if not on:
            self._drop_waiting_copies(outbox.c.athlete_id == athlete.id)

    def copied_about(self, athlete: Athlete) -> Sequence[Therapist]:
        """The therapists who get copies about this athlete; none without both sides' consent."""
        wanted = (
            athlete_table.c.id == athlete.id,
            athlete_table.c.copies_agreed_at.is_not(None),
            ~athlete_table.c.copies_off,
        )
        agrees = select(athlete_table.c.id).where(*wanted).exists()
        rows = self._rows(select(table).where(agrees).order_by(table.c.id))
        return [from_row(Therapist, row) for row in rows]

    def end_consents(self) -> None:
        """Withdraw the consents of all athletes to copies, until they agree again."""
        self._update(athlete_table, copies_agreed_at=None)

    def _drop_waiting_copies(self, whose: ColumnElement[bool]) -> None:
        """Give up copies that weren't sent; their rows stay, so that none is queued again."""
        is_copy = outbox.c.kind == "notice", outbox.c.key.startswith(f"{COPY_KEY}:")
        is_unsent = outbox.c.state.in_(UNSENT_STATES)
        self._update(outbox, whose, *is_copy, is_unsent, state="dropped", mime=b"", last_error=None)


_PLAIN = ("name", "email", "added_at", "language")
