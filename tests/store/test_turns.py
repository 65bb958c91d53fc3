"""Turns to write: first come, first served, and nobody waits forever."""

import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.waiting import wait_until
from worker.store import Store, StoreError
from worker.store.lock import WriteQueue, WriteQueueError

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_threads_write_in_the_order_in_which_they_came(sqlite_url: str) -> None:
    """A thread that writes again at once queues behind the waiting ones."""
    with closing(Store.open(sqlite_url)) as store:
        wrote: list[str] = []

        def write(name: str) -> None:
            with store.transaction():
                wrote.append(name)

        with store.transaction():
            pages = [threading.Thread(target=write, args=(f"page {n}",)) for n in range(3)]
            for number, page in enumerate(pages, 1):
                page.start()
                _until_waiting(store.write_queue, number)
        write("mail")
        for page in pages:
            page.join()
    assert wrote == ["page 0", "page 1", "page 2", "mail"]


def test_a_turn_that_lasts_too_long_is_given_up_and_blocks_nobody() -> None:
    """A thread that gave up isn't let in later either."""
    write_queue = WriteQueue()
    with (
        write_queue.turn(within_s=1),
        pytest.raises(WriteQueueError),
        write_queue.turn(within_s=0.01),
    ):
        raise AssertionError("two at once")
    with write_queue.turn(within_s=0.01):
        pass


def test_who_is_in_a_hurry_waits_no_longer_than_they_say(database_url: str) -> None:
    """For other work, or for a locked row; then it's an error."""
    with closing(Store.open(database_url)) as store, closing(Store.open(database_url)) as other:
        for holding in (store, other):
            with holding.transaction() as tx:
                tx.progress.ticked("one", at=NOW)
                with (
                    pytest.raises(StoreError, match=r"is busy|lock timeout"),
                    store.transaction(within_s=0.1) as hurried,
                ):
                    hurried.progress.ticked("one", at=NOW)
        with store.transaction(within_s=0.1) as tx:
            tx.progress.ticked("one", at=NOW)


def test_an_error_ends_the_turn() -> None:
    """The next one is still let in."""
    write_queue = WriteQueue()
    with pytest.raises(ValueError, match="broken"), write_queue.turn(within_s=1):
        raise ValueError("broken")
    with write_queue.turn(within_s=0.01):
        pass


def _until_waiting(write_queue: WriteQueue, number: int) -> None:
    wait_until(lambda: len(write_queue._waiting) >= number, within_s=5)
