"""Copies of alerts on either database: for whom, once, and only with both sides' consent."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.app import NOW, TODAY, App, recording, steady
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Email
from worker.domain.practice import Therapist
from worker.links import Signer
from worker.notify import AlertCopyFacts, Composer
from worker.pipeline.backup import mark_restored
from worker.pipeline.edits import exclude_run
from worker.store.outbox import OutboxMail


@pytest.fixture
def copying(app: App) -> App:
    """A practice with two therapists who get copies."""
    services = replace(app.services, copies_alerts=True)
    with services.store.transaction() as tx:
        for name, language in (("Vera", ""), ("Wim", "de")):
            address = f"{name.casefold()}@example.org"
            tx.therapists.add(Therapist(0, name, address, NOW, language))
    return replace(app, services=services)


def agree(app: App, athlete: Athlete, *, agrees: bool = True) -> None:
    with app.services.store.transaction() as tx:
        tx.therapists.save_consent(athlete, agreed_at=NOW if agrees else None)


def jump(app: App, athlete: Athlete, km: float = 14.2) -> None:
    app.runs(athlete, steady(until=TODAY))
    app.arrive(athlete, recording(km=km))


def copies(app: App) -> list[OutboxMail]:
    with app.services.store.reading() as tx:
        return [mail for mail in tx.outbox.all() if mail.key.startswith("copy:")]


def recipients(app: App) -> list[str]:
    app.deliver()
    return sorted(str(mail["To"]) for mail in app.mailer.taken)


def test_every_therapist_gets_one_beside_the_athletes_mail(copying: App) -> None:
    """It names athlete, reason and last answer in the therapist's language; the subject no name."""
    anna = copying.athlete()
    agree(copying, anna)
    with copying.services.store.transaction() as tx:
        tx.checkins.save(anna, CheckIn(TODAY, "hurts", ("knee",), 5), now=NOW)
    jump(copying, anna)
    assert recipients(copying) == ["anna@example.org", "vera@example.org", "wim@example.org"]
    by_recipient = {str(mail["To"]): mail for mail in copying.mailer.taken}
    english, german = by_recipient["vera@example.org"], by_recipient["wim@example.org"]
    assert english["X-Easeback-Kind"] == "notice"
    assert english["Subject"] == "A copy: one of your athletes was warned"
    assert german["Subject"] == "Kopie: Eine Warnung wurde verschickt"
    part = english.get_body(("plain",))
    assert part is not None
    text = " ".join(part.get_content().split())
    assert "On Friday 20 November a warning was mailed to Anna:" in text
    assert "14.2 km, 1.8 × the longest of the 30 days before" in text
    assert "Fri 20 Nov: It hurts, 5 of 10, knee" in text
    assert "anna@example.org" not in text


def test_it_links_to_the_athletes_page_of_the_practice(copying: App) -> None:
    """By the therapist's own link."""
    signer = Signer(("a key of the tests",), "https://easeback.example.org")
    app = replace(
        copying, services=replace(copying.services, composer=Composer(signer=signer, checkins=True))
    )
    anna = app.athlete()
    agree(app, anna)
    jump(app, anna)
    with app.services.store.reading() as tx:
        vera = tx.therapists.named("Vera")
    assert vera is not None
    address = f"{signer.sign('practice', vera, now=NOW)}/athletes/{anna.link_id}"
    (mail,) = [one for one in copies(app) if one.recipient == "vera@example.org"]
    assert address.encode() in mail.mime.replace(b"=\r\n", b"").replace(b"=3D", b"=")


@pytest.mark.parametrize("without", ["setting", "consent", "therapists", "practice"])
def test_there_is_none_without(copying: App, without: str) -> None:
    """Without the setting, the athlete's consent, a therapist, or the practice's wish."""
    app = copying
    anna = app.athlete()
    if without != "consent":
        agree(app, anna)
    with app.services.store.transaction() as tx:
        if without == "therapists":
            for one in tx.therapists.all():
                tx.therapists.remove(one)
        tx.therapists.turn_copies(anna, on=without != "practice")
    if without == "setting":
        app = replace(app, services=replace(app.services, copies_alerts=False))
    jump(app, anna)
    assert recipients(app) == ["anna@example.org"]


def test_nothing_is_copied_that_the_athlete_is_not_mailed(copying: App) -> None:
    """Imports, runs within the rules, pauses; nor is it sent afterwards."""
    anna, ben = copying.athlete(), copying.athlete("Ben")
    for one in (anna, ben):
        agree(copying, one)
    copying.runs(anna, [*steady(until=TODAY), recording(km=14.2)])
    with copying.services.store.transaction() as tx:
        tx.athletes.pause(ben, since=NOW)
        paused = tx.athletes.by_id(ben.id)
    assert paused is not None
    jump(copying, paused)
    assert copying.silences(ben) == ["mails were paused"] * len(copying.silences(ben))
    assert recipients(copying) == []


def test_the_same_jump_is_copied_once(copying: App) -> None:
    """However often its day is judged; a graver finding is copied once more."""
    anna = copying.athlete()
    agree(copying, anna)
    jump(copying, anna)
    copying.arrive(anna, recording(km=14.2))
    assert len(copies(copying)) == 2
    assert recipients(copying) == ["anna@example.org", "vera@example.org", "wim@example.org"]
    copying.arrive(anna, recording(km=14.3))
    copying.deliver()
    assert len(copying.mailer.taken) == 3


def test_a_copy_goes_with_the_alert_that_is_taken_back_before_it_went(copying: App) -> None:
    """The reason for it is gone."""
    anna = copying.athlete()
    agree(copying, anna)
    jump(copying, anna)
    with copying.services.store.reading() as tx:
        run = max(tx.runs.all(anna), key=lambda one: one.run.distance_m).run
    exclude_run(copying.services, anna, run.id, by="athlete", now=NOW)
    assert copies(copying) == []
    assert recipients(copying) == []


def test_what_waits_is_dropped_when_consent_is_taken_back(copying: App) -> None:
    """The alert itself is still sent; so are another athlete's copies."""
    anna, ben = copying.athlete(), copying.athlete("Ben")
    for one in (anna, ben):
        agree(copying, one)
        jump(copying, one)
    agree(copying, anna, agrees=False)
    assert {mail.state for mail in copies(copying) if mail.athlete_id == anna.id} == {"dropped"}
    assert recipients(copying) == [
        "anna@example.org", "ben@example.org", "vera@example.org", "wim@example.org",
    ]  # fmt: skip


def test_a_therapist_who_leaves_gets_nothing_that_waits(copying: App) -> None:
    """The other therapist's copies are sent."""
    anna = copying.athlete()
    agree(copying, anna)
    jump(copying, anna)
    with copying.services.store.transaction() as tx:
        vera = tx.therapists.named("Vera")
        assert vera is not None
        tx.therapists.remove(vera)
    assert recipients(copying) == ["anna@example.org", "wim@example.org"]


def test_who_is_forgotten_is_copied_nobody(copying: App) -> None:
    anna = copying.athlete()
    agree(copying, anna)
    jump(copying, anna)
    with copying.services.store.transaction() as tx:
        tx.outbox.forget(anna)
        tx.athletes.remove(anna)
    assert recipients(copying) == []


def test_while_mail_is_paused_no_weekly_mail_comes_and_none_later_for_that_time(app: App) -> None:
    """The week counts as skipped; the next one after the pause is mailed again."""
    anna = app.athlete()
    with app.services.store.transaction() as tx:
        tx.athletes.pause(anna, since=NOW)
    app.at(TODAY + timedelta(days=4))
    app.pass_on()
    assert app.mailer.kinds() == []
    with app.services.store.transaction() as tx:
        tx.athletes.pause(anna, since=None)
    app.pass_on()
    assert app.mailer.kinds() == []
    app.at(TODAY + timedelta(days=11))
    app.pass_on()
    assert app.mailer.kinds() == ["weekly"]


def test_an_alert_and_its_copies_are_queued_together_or_not_at_all(copying: App) -> None:
    """If the work ends between two of them, it's repeated as a whole, once."""

    class Dies(Composer):
        left = 1

        def alert_copy(self, facts: AlertCopyFacts) -> Email:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().alert_copy(facts)

    anna = copying.athlete()
    agree(copying, anna)
    copying.runs(anna, steady(until=TODAY))
    dying = replace(copying, services=replace(copying.services, composer=Dies()))
    with pytest.raises(KeyboardInterrupt):
        dying.arrive(anna, recording(km=14.2))
    assert copying.unsent() == ()
    for _ in range(2):
        copying.arrive(anna, recording(km=14.2))
    assert len(copying.unsent()) == 3


def test_a_restore_closes_the_practices_links_and_asks_everybody_again(copying: App) -> None:
    """Links closed and consents withdrawn after the copy was made aren't in it."""
    anna = copying.athlete()
    agree(copying, anna)
    with copying.services.store.transaction() as tx:
        before = tx.therapists.all()
        mark_restored(tx, now=NOW)
        assert [tx.therapists.of_link(one.link_id) for one in before] == [None, None]
        assert tx.therapists.copies(anna).agreed_at is None
