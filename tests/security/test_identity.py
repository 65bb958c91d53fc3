"""Whose page a link opens if an id is reused: after a restore, or in a new database."""

import re
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from simulators.web_instance import NOW, Instance, instance
from tests.command import easeback
from worker.domain.models import Athlete
from worker.links import Link, LinkError, Signer
from worker.pipeline.backup import mark_restored
from worker.store import Store
from worker.store.restore import restore

PURPOSES = ("athlete", "checkin", "connect", "unsubscribe")
MINUTE = timedelta(minutes=1)
KEY = "a key that is long enough for anybody"


def links(made: Instance, athlete: Athlete) -> list[str]:
    return [made.link(purpose, athlete, kind="weekly") for purpose in PURPOSES]


def answers(made: Instance, paths: list[str]) -> list[int]:
    with made.client() as client:
        return [client.get(path).status_code for path in paths]


def over(made: Instance, store: Store) -> Instance:
    """The same web server over another store."""
    services = replace(made.web.services, store=store)
    return replace(made, store=store, web=replace(made.web, services=services))


@pytest.fixture
def restored(made: Instance, tmp_path: Path) -> Iterator[tuple[Instance, Athlete, Athlete]]:
    """Mira was in the copy; Nora came after it, and her id was given to Oona."""
    mira, copy = made.add("Mira"), tmp_path / "copy.db"
    made.store.copy_to(copy)
    nora = made.add("Nora")
    assert made.store.file
    store = Store.at(f"sqlite:///{made.store.file}")
    made.store.close()
    made.clock.now += MINUTE
    restore(copy, store, aside=tmp_path / "aside.db", mark=lambda tx: mark_restored(tx, now=NOW))
    with closing(Store.open(f"sqlite:///{store.file}")) as store:
        again = over(made, store)
        assert again.add("Oona").id == nora.id
        yield again, mira, nora


def test_after_a_restore_no_link_opens_the_page_of_who_got_the_number(
    restored: tuple[Instance, Athlete, Athlete],
) -> None:
    """Nora's links open nothing, and her unsubscribe button doesn't stop Oona's mails."""
    made, _, nora = restored
    assert answers(made, links(made, nora)) == [410] * 4
    with made.client() as client:
        client.post(links(made, nora)[-1], data={"List-Unsubscribe": "One-Click"})
    with made.store.reading() as tx:
        oona = tx.athletes.named("Oona")
    assert oona
    assert "weekly" in oona.wants


def test_a_restore_closes_every_page_and_mails_can_still_be_stopped(
    restored: tuple[Instance, Athlete, Athlete],
) -> None:
    """Links closed after the copy was made would open again; one-click unsubscribing works."""
    made, mira, _ = restored
    made.clock.now = NOW - MINUTE
    before = links(made, mira)
    made.clock.now = NOW + MINUTE
    assert answers(made, before) == [410, 410, 410, 200]
    assert answers(made, links(made, mira)[:2]) == [200, 200]
    with made.client() as client:
        client.post(before[-1], data={"List-Unsubscribe": "One-Click"})
    assert "weekly" not in made.athlete(mira).wants


def test_a_database_begun_anew_with_the_old_keys_opens_for_no_old_link(tmp_path: Path) -> None:
    """Its first athlete has the id of the old one's first athlete."""
    old = instance(tmp_path)
    mira = old.add("Mira")
    old.store.close()  # an open one's WAL would be applied to the new one
    new = instance(tmp_path)
    assert new.add("Nora").id == mira.id
    assert answers(new, links(new, mira)) == [410] * 4
    new.store.close()


def test_a_restore_by_other_means_closes_everybodys_links_too(store: Store) -> None:
    """`restore --only-mark`, on both databases; links made after it work."""
    with store.transaction() as tx:
        people = [tx.athletes.add(Athlete(0, name, "m@example.org", NOW)) for name in "AB"]
        mark_restored(tx, now=NOW)
        for one in people:
            for signed_at, is_closed in ((NOW, True), (NOW + MINUTE, False)):
                link = Link(one.link_id, signed_at, {})
                assert tx.athletes.of_link(link) == (one, is_closed)


class TestLinksOfBefore:
    """Links with an athlete's id, as older versions made them."""

    def test_they_open_for_whom_they_were_made(self, store: Store) -> None:
        """The athletes at the time of the upgrade, on both databases."""
        with store.transaction() as tx:
            mira = tx.athletes.add(Athlete(0, "Mira", "m@example.org", NOW))
            tx.connection.execute(text("UPDATE athlete SET links_by_number = true"))
            nora = tx.athletes.add(Athlete(0, "Nora", "n@example.org", NOW))
        with store.reading() as tx:
            for signed_at in (None, NOW, NOW + MINUTE):
                assert tx.athletes.of_link(Link(mira.id, signed_at, {})) == (mira, False)
                assert tx.athletes.of_link(Link(nora.id, signed_at, {})) is None

    def test_one_that_is_older_than_the_athlete_was_another_s(self, store: Store) -> None:
        """The id's earlier owner, in a database that was restored or started again."""
        with store.transaction() as tx:
            mira = tx.athletes.add(Athlete(0, "Mira", "m@example.org", NOW))
            tx.connection.execute(text("UPDATE athlete SET links_by_number = true"))
            assert tx.athletes.of_link(Link(mira.id, NOW - MINUTE, {})) is None


def test_what_a_preview_signs_as_of_another_time_never_opens(tmp_path: Path) -> None:
    """A link dated in the future couldn't be closed; without `--as-of` links are as sent."""
    env = {"EASEBACK_SECRET_KEY": KEY}
    easeback("athlete", "add", "--name", "Mira", "--email", "m@example.org", cwd=tmp_path, env=env)
    signer = Signer([KEY], "http://127.0.0.1:8765")
    for as_of, opens in (("2031-01-10T08:00:00Z", False), (None, True)):
        when = ("--as-of", as_of) if as_of else ()
        shown = easeback("preview", "weekly", "--no-open", *when, cwd=tmp_path, env=env)
        assert shown.returncode == 0, shown.stderr
        assert ("its links open nothing" in shown.stdout) is not opens
        found = re.findall(r"127\.0\.0\.1:8765/([a-z]+)/([\w.-]+)", shown.stdout)
        assert {"athlete", "unsubscribe"} <= {purpose for purpose, _ in found}
        for purpose, token in found:
            for now in (datetime.now(UTC), datetime(2031, 1, 11, tzinfo=UTC)):
                with nullcontext() if opens else pytest.raises(LinkError, match="preview"):
                    signer.check(purpose, token, now=now)
