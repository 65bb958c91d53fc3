"""Changing the name or mail address on an athlete's page, and what strangers could do with it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from starlette.testclient import TestClient

from simulators.mail_lint import lint
from simulators.web_instance import NOW, Instance
from worker.domain.models import Athlete
from worker.pipeline.housekeeping import tidy_store
from worker.pipeline.services import Services
from worker.pipeline.welcome import queue_welcome
from worker.store.outbox import OutboxMail

OLD, NEW = "mira@example.org", "new@example.org"


def ask(made: Instance, client: TestClient, who: Athlete, address: str, name: str = "") -> int:
    """Submit the page's form."""
    form = {"name": name or who.name, "address": address}
    return client.post(f"{made.link('athlete', who)}/contact", data=form).status_code


def queued(made: Instance) -> tuple[OutboxMail, ...]:
    with made.store.reading() as tx:
        return tx.outbox.unsent()


def to(made: Instance, recipient: str) -> list[EmailMessage]:
    """The queued mails for this recipient."""
    return [
        message_from_bytes(mail.mime, policy=policy.default)
        for mail in queued(made)
        if mail.recipient == recipient
    ]


def confirming(made: Instance, address: str = NEW) -> str:
    """The path of the link in the newest mail to this address."""
    body = to(made, address)[-1].get_body(("plain",))
    assert body is not None
    [word] = [word for word in body.get_content().split() if "/address/" in word]
    return "/address/" + word.rpartition("/")[2]


@pytest.fixture
def asked(made: Instance, mira: Athlete, client: TestClient) -> str:
    """Mira requests another address; returns the path of the confirmation link."""
    assert ask(made, client, mira, NEW) == 303
    return confirming(made)


class TestName:
    def test_a_new_name_counts_at_once(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """No mail is sent about it."""
        assert ask(made, client, mira, OLD, name=" Mira Moll ") == 303
        assert made.athlete(mira).name == "Mira Moll"
        assert queued(made) == ()
        with made.store.reading() as tx:
            assert tx.athletes.of_folders(["mira moll"]) == (made.athlete(mira),)

    def test_the_case_of_ones_own_name_can_be_mended(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        assert ask(made, client, mira, OLD, name="MIRA") == 303
        assert made.athlete(mira).name == "MIRA"

    def test_somebody_elses_name_is_refused_without_saying_whose_it_is(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """In any case of letters: it would be the same folder."""
        made.add("Eve Stone")
        form = {"name": "EVE STONE", "address": OLD}
        answer = client.post(f"{made.link('athlete', mira)}/contact", data=form)
        assert answer.status_code == 400
        assert "choose another one" in answer.text
        assert "Eve Stone" not in answer.text
        assert made.athlete(mira) == mira

    @pytest.mark.parametrize("name", [" ", "../eve", "x" * 81, "Mi\x1bra", "Mi\u202era"])
    def test_what_is_no_name_is_refused(
        self, made: Instance, mira: Athlete, client: TestClient, name: str
    ) -> None:
        assert ask(made, client, mira, NEW, name=name) == 400
        assert made.athlete(mira) == mira
        assert queued(made) == ()


class TestAddress:
    def test_the_old_address_works_until_the_new_one_is_confirmed(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        assert made.athlete(mira).email == OLD
        assert NEW in client.get(made.link("athlete", mira)).text
        assert client.get(asked).status_code == 200
        assert made.athlete(mira).email == OLD  # opening a link confirms nothing
        done = client.post(asked)
        assert done.status_code == 200
        assert NEW in done.text
        assert made.athlete(mira).email == NEW

    def test_both_addresses_are_told(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """The old address learns of the change and how to stop it, but not the new address."""
        [told], [to_confirm] = to(made, OLD), to(made, NEW)
        for mail in (told, to_confirm):
            lint(mail.as_bytes(policy=policy.SMTP))
        text = told.get_body(("plain",)).get_content()  # type: ignore[union-attr]  # it has one
        assert "n…@example.org" in text
        assert NEW not in text
        assert "/athlete/" in text

    def test_a_stranger_whose_address_was_mistyped_learns_no_name(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """Neither from the mail nor the page, and the link opens nothing else."""
        [mail] = to(made, NEW)
        assert "Mira" not in str(mail)
        assert "Mira" not in client.get(asked).text
        token = asked.rpartition("/")[2]
        for purpose in ("athlete", "checkin", "welcome", "calendar", "unsubscribe"):
            assert client.get(f"/{purpose}/{token}").status_code == 403
        assert "List-Unsubscribe" not in mail

    def test_what_waits_goes_to_the_new_address_but_for_what_tells_the_old_one(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        services: Services = made.web.services
        with made.store.transaction() as tx:
            queue_welcome(tx, services, mira, now=NOW)
        ask(made, client, mira, NEW)
        client.post(confirming(made))
        kept = {mail.key.partition(":")[0]: mail for mail in queued(made)}
        assert kept["welcome"].recipient == NEW
        assert b"\r\nTo: new@example.org\r\n" in kept["welcome"].mime
        assert kept["address asked"].recipient == OLD

    def test_the_page_leads_to_nothing_that_waits_once_its_used(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        client.post(asked)
        assert "is on its way" not in client.get(made.link("athlete", mira)).text

    def test_saving_the_old_address_again_takes_the_new_one_back(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        assert ask(made, client, mira, OLD) == 303
        assert client.post(asked).status_code == 410
        assert made.athlete(mira).email == OLD


class TestAttacks:
    def test_a_link_works_once(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """Used again after the athlete went back, it does nothing."""
        assert client.post(asked).status_code == 200
        with made.store.transaction() as tx:
            tx.athletes.save_email(mira, OLD)
        again = client.get(asked)
        assert again.status_code == 410
        assert "the address is confirmed" in again.text
        assert client.post(asked).status_code == 410
        assert made.athlete(mira).email == OLD

    def test_of_two_that_come_at_once_one_counts(
        self, made: Instance, mira: Athlete, asked: str
    ) -> None:
        with ThreadPoolExecutor(4) as pool, made.client() as client:
            answers = list(pool.map(lambda _: client.post(asked).status_code, range(4)))
        assert sorted(answers) == [200, 410, 410, 410]

    def test_a_link_ends_after_a_day(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        made.clock.now = NOW + timedelta(hours=24, seconds=1)
        assert client.get(asked).status_code == 410
        assert client.post(asked).status_code == 410
        assert made.athlete(mira).email == OLD

    def test_a_newer_one_ends_the_one_before(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        ask(made, client, mira, "third@example.org")
        assert client.post(asked).status_code == 410
        assert client.post(confirming(made, "third@example.org")).status_code == 200

    def test_anothers_code_opens_nothing(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """Nor without a code, nor with a link signed for another page."""
        eve = made.add("Eve")
        ask(made, client, eve, "eve@evil.example")
        with made.store.reading() as tx:
            hers = tx.addresses.waiting(eve, now=NOW)
        assert hers is not None
        for code in (hers.code, "", "x"):
            assert client.post(made.link("address", mira, code=code)).status_code == 410
        assert client.post(made.link("address", mira)).status_code == 410
        token = made.link("athlete", mira).rpartition("/")[2]
        assert client.post(f"/address/{token}").status_code == 403
        assert made.athlete(mira).email == OLD

    def test_closing_the_links_closes_this_one_too(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """So the old address, once told, can stop it."""
        client.post(f"{made.link('athlete', mira)}/links")
        assert client.post(asked).status_code == 410
        assert made.athlete(mira).email == OLD

    def test_nobody_is_pestered_by_an_athletes_page(
        self, made: Instance, mira: Athlete, client: TestClient
    ) -> None:
        """At most three addresses a day get mail, even with one confirmed, and across restarts."""
        for number in range(2):
            assert ask(made, client, mira, f"victim{number}@example.org") == 303
        assert ask(made, client, mira, NEW) == 303
        assert client.post(confirming(made)).status_code == 200
        mails = len(queued(made))
        with made.client() as anew:
            assert ask(made, anew, made.athlete(mira), "victim3@example.org") == 400
        assert len(queued(made)) == mails
        tidy_store(made.web.services, NOW + timedelta(hours=23))
        assert ask(made, client, made.athlete(mira), "victim3@example.org") == 400
        made.clock.now = NOW + timedelta(hours=25)
        assert ask(made, client, made.athlete(mira), "later@example.org") == 303

    def test_what_was_never_confirmed_isnt_kept(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """It may be a stranger's address."""
        tidy_store(made.web.services, NOW + timedelta(hours=25))
        with made.store.reading() as tx:
            rows = tx.connection.exec_driver_sql("SELECT count(*) FROM address_change").scalar()
        assert rows == 0

    @pytest.mark.parametrize(
        "address",
        [
            "eve@evil.example\r\nBcc: all@example.org", "eve@evil.example\nX: y", "a@b, c@d",
            "a@b;c@d", "Mira <eve@evil.example>", "eve@evil.example\x00", "eve@ev\u202eil.example",
            "eve", "", "x" * 300 + "@example.org",
        ],
    )  # fmt: skip
    def test_no_address_brings_a_header_or_a_second_recipient(
        self, made: Instance, mira: Athlete, client: TestClient, address: str
    ) -> None:
        assert ask(made, client, mira, address) == 400
        assert queued(made) == ()
        assert made.athlete(mira) == mira

    def test_the_operators_word_ends_what_the_athlete_asked_for(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        """As by `easeback athlete set --email`."""
        with made.store.transaction() as tx:
            tx.athletes.save_email(mira, "right@example.org")
            tx.addresses.drop(mira)
        assert client.post(asked).status_code == 410
        assert made.athlete(mira).email == "right@example.org"

    def test_who_is_forgotten_takes_the_address_along(
        self, made: Instance, mira: Athlete, client: TestClient, asked: str
    ) -> None:
        client.post(f"{made.link('athlete', mira)}/forget", data={"sure": "yes"})
        assert client.post(asked).status_code == 410
        assert queued(made) == ()
