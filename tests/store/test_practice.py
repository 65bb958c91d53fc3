"""The practice's rows on either database: their content, and the number of statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import insert

from simulators.practice import give_up_mail, queue_mail, warn
from simulators.web_instance import NOW, TODAY
from tests.counting import counted
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Recording
from worker.domain.practice import PracticeRow, Therapist
from worker.store import Store, Transaction
from worker.store.progress import SourceState
from worker.store.tables import athlete as athlete_table
from worker.store.therapists import TherapistNameTakenError

ADDED = datetime(2026, 1, 5, 6, tzinfo=UTC)


def add(tx: Transaction, name: str) -> Athlete:
    return tx.athletes.add(Athlete(0, name, f"{name.casefold()}@example.org", ADDED))


def rows(store: Store) -> dict[str, PracticeRow]:
    with store.reading() as tx:
        found = {row.name: row for row in tx.practice.rows(NOW)}
        for row in found.values():  # one athlete's row is the same
            athlete = tx.athletes.by_id(row.id)
            assert athlete is not None
            assert tx.practice.row(athlete, NOW) == row
    return found


def back(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_a_row_says_what_is_stored(store: Store) -> None:
    """One athlete with everything, and one with nothing."""
    with store.transaction() as tx:
        anna, _ = add(tx, "Anna"), add(tx, "Ben")
        run = Recording("inbox", "1", NOW, back(3), 8_000.0, 2_700.0, 2_700.0)
        tx.runs.save(anna, [run], now=NOW, today=TODAY)
        answers = CheckIn(back(4), "fine"), CheckIn(back(2), "hurts", ("knee",), 5, ("fever",))
        for one in answers:
            tx.checkins.save(anna, one, now=NOW)
        warn(tx, anna, day=back(1))
        lost = SourceState("failing", NOW - timedelta(days=9), "revoked")
        tx.progress.save_source(anna, "strava", lost)
        give_up_mail(tx, anna, key="weekly")
        tx.athletes.pause(anna, since=NOW)
    found = rows(store)
    one = found["Anna"]
    assert one.last_run_on == back(3)
    assert one.diary == list(answers)
    assert one.warned is not None
    assert (one.warned.observed_m, one.warned_on) == (14_200.0, back(1))
    assert [(blind.source, blind.since_at) for blind in one.blind] == [
        ("strava", NOW - timedelta(days=9))
    ]
    assert one.undelivered is None or one.undelivered.why == "550 no such user here"
    assert one.paused_at == NOW
    nothing = found["Ben"]
    assert (nothing.last_run_on, nothing.diary, nothing.warned, nothing.blind) == (
        None,
        (),
        None,
        (),
    )
    assert (nothing.undelivered, nothing.paused_at) == (None, None)


def test_what_does_not_count_is_not_in_a_row(store: Store) -> None:
    """A quarantined run, and a finding that was withdrawn after being mailed."""
    with store.transaction() as tx:
        anna = add(tx, "Anna")
        for number, (day, km) in enumerate(((back(9), 8.0), (back(2), 900.0))):
            run = Recording("inbox", str(number), NOW, day, km * 1000, 2_700.0, 2_700.0)
            tx.runs.save(anna, [run], now=NOW, today=TODAY)
        warn(tx, anna, day=back(1))
        mail = tx.outbox.claim(NOW)
        assert mail is not None
        tx.outbox.sent(mail, now=NOW)
        tx.findings.reconcile(anna, since=back(1), found=[], now=NOW)
    one = rows(store)["Anna"]
    assert one.last_run_on == back(9)
    assert one.warned is None


def test_who_is_fine_again_has_no_diary_there(store: Store) -> None:
    """Unless a red flag was ticked with it."""
    with store.transaction() as tx:
        for name, last in (
            ("Fine", CheckIn(back(1), "fine")),
            ("Flag", CheckIn(back(1), "fine", (), None, ("fever",))),
            ("Long ago", CheckIn(back(20), "hurts")),
        ):
            athlete = add(tx, name)
            tx.checkins.save(athlete, CheckIn(back(25), "hurts"), now=NOW)
            tx.checkins.save(athlete, last, now=NOW)
    found = rows(store)
    assert {name: len(row.diary) for name, row in found.items()} == {
        "Fine": 0, "Flag": 2, "Long ago": 0,
    }  # fmt: skip


def test_a_mail_that_failed_is_told_until_another_went_or_the_address_is_another(
    store: Store,
) -> None:
    """Since the first failed one; a mail to the therapist isn't the athlete's."""
    with store.transaction() as tx:
        anna, ben, cem = add(tx, "Anna"), add(tx, "Ben"), add(tx, "Cem")
        for athlete in (anna, ben, cem):
            give_up_mail(tx, athlete)
        sent = tx.outbox.by_id(queue_mail(tx, ben, key="later"))
        assert sent is not None
        claimed = tx.outbox.claim(NOW + timedelta(minutes=1))
        assert claimed is not None
        tx.outbox.sent(claimed, now=NOW + timedelta(minutes=1))
        moved = Athlete(cem.id, "Cem", "new@example.org", ADDED)
        tx.athletes.change(moved, now=NOW)
    found = rows(store)
    assert {name for name, row in found.items() if row.undelivered} == {"Anna"}


@contextmanager
def statements_of_rows(store: Store) -> Iterator[list[int]]:
    """The number of rows, and of the statements that fetched them."""
    said: list[int] = []
    with store.reading() as tx, counted(store) as told:
        yield said
        said += [len(tx.practice.rows(NOW)), told["statements"]]


@pytest.mark.parametrize("number", [3, 3_000])
def test_the_statements_are_the_same_however_many_there_are(store: Store, number: int) -> None:
    """Five, for 3,000 athletes as for 3."""
    with store.transaction() as tx:
        first = add(tx, "Athlete 0")
        columns = (
            tx.connection.execute(athlete_table.select().where(athlete_table.c.id == first.id))
            .one()
            ._asdict()
        )
        del columns["id"]
        others = [
            {**columns, "name": f"Athlete {n}", "link_id": f"link {n}"} for n in range(1, number)
        ]
        tx.connection.execute(insert(athlete_table), others)
        for athlete in tx.athletes.first(300):
            tx.checkins.save(athlete, CheckIn(back(1), "hurts"), now=NOW)
    with statements_of_rows(store) as said:
        pass
    assert said == [number, 5]


def therapist(name: str = "Vera") -> Therapist:
    return Therapist(0, name, "vera@example.org", NOW, "de")


class TestTherapists:
    def test_they_are_kept_and_names_are_unique_whatever_their_case(self, store: Store) -> None:
        with store.transaction() as tx:
            vera = tx.therapists.add(therapist())
            assert (vera.name, vera.language) == ("Vera", "de")
            assert tx.therapists.named("VERA") == vera
            with pytest.raises(TherapistNameTakenError, match="Vera already"):
                tx.therapists.add(therapist("vera"))
            assert list(tx.therapists.all()) == [vera]

    def test_a_new_link_closes_the_old_one_and_so_does_going(self, store: Store) -> None:
        with store.transaction() as tx:
            vera = tx.therapists.add(therapist())
            other = tx.therapists.add(therapist("Wim"))
            fresh = tx.therapists.relink(vera)
            assert tx.therapists.of_link(vera.link_id) is None
            assert tx.therapists.of_link(fresh.link_id) == fresh
            tx.therapists.remove(fresh)
            assert tx.therapists.of_link(fresh.link_id) is None
            assert tx.therapists.of_link(other.link_id) == other
            tx.therapists.close_links()
            assert tx.therapists.of_link(other.link_id) is None

    def test_copies_go_to_all_of_them_while_both_sides_want_it(self, store: Store) -> None:
        with store.transaction() as tx:
            anna = add(tx, "Anna")
            both = [tx.therapists.add(therapist(name)) for name in ("Vera", "Wim")]
            assert tx.therapists.copied_about(anna) == []
            tx.therapists.save_consent(anna, agreed_at=NOW)
            assert tx.therapists.copied_about(anna) == both
            tx.therapists.turn_copies(anna, on=False)
            assert tx.therapists.copied_about(anna) == []
            assert tx.therapists.copies(anna).agreed_at == NOW
            tx.therapists.turn_copies(anna, on=True)
            tx.therapists.save_consent(anna, agreed_at=None)
            assert tx.therapists.copied_about(anna) == []
