"""Red flags on either database: queued once, sent at the next delivery."""

from dataclasses import replace
from datetime import timedelta
from email.utils import parseaddr

import pytest

from tests.app import NOW, TODAY, App
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete
from worker.domain.practice import Therapist
from worker.pipeline.red_flags import tell_of_red_flags


def test_a_red_flag_is_mailed_once_to_whoever_looks_after_the_athlete(app: App) -> None:
    """Ticked on three days in a row; without a recipient nothing is sent."""
    anna = app.athlete()
    watched = replace(app.services, therapist="therapist@example.org")
    for services in (app.services, watched):
        for back in (2, 1, 0):
            answer = CheckIn(TODAY - timedelta(days=back), "hurts", (), 5, ("fever",))
            with app.services.store.transaction() as tx:
                tx.checkins.save(anna, answer, now=app.now)
                tell_of_red_flags(tx, services, anna, answer, now=app.now)
    app.deliver()
    assert [mail["To"] for mail in app.mailer.taken] == ["therapist@example.org"]
    assert app.mailer.kinds() == ["notice"]


@pytest.fixture
def practice(app: App) -> App:
    """A practice with two therapists, one of whom is also named in the settings."""
    services = replace(app.services, therapist="Dr. Vera <VERA@example.org>", copies_alerts=True)
    with services.store.transaction() as tx:
        tx.therapists.add(Therapist(0, "Vera", "vera@example.org", NOW))
        tx.therapists.add(Therapist(0, "Wim", "wim@example.org", NOW, "de"))
    return replace(app, services=services)


def tick(app: App, athlete: Athlete, *flags: str, back: int = 0) -> None:
    answer = CheckIn(TODAY - timedelta(days=back), "hurts", (), 5, flags)
    with app.services.store.transaction() as tx:
        tx.checkins.save(athlete, answer, now=app.now)
        tell_of_red_flags(tx, app.services, athlete, answer, now=app.now)


def agree(app: App, athlete: Athlete, *, agrees: bool = True) -> None:
    with app.services.store.transaction() as tx:
        tx.therapists.save_consent(athlete, agreed_at=NOW if agrees else None)


def recipients(app: App) -> list[str]:
    app.deliver()
    return [parseaddr(mail["To"])[1] for mail in app.mailer.taken]


def test_the_practice_is_told_of_who_agreed(practice: App) -> None:
    """Each therapist once, in their language; without consent only the settings' address."""
    anna, ben = practice.athlete(), practice.athlete("Ben")
    agree(practice, anna)
    tick(practice, anna, "fever", back=1)
    tick(practice, anna, "fever")
    assert sorted(recipients(practice)) == ["vera@example.org", "wim@example.org"]
    subjects = {str(mail["To"]): mail["Subject"] for mail in practice.mailer.taken}
    assert subjects["wim@example.org"] == "Jemand hat ein Warnzeichen angekreuzt"
    practice.mailer.taken.clear()
    tick(practice, ben, "fever")
    assert recipients(practice) == ["VERA@example.org"]


@pytest.mark.parametrize("without", ["tells_red_flags", "copies_alerts"])
def test_the_settings_can_end_it(practice: App, without: str) -> None:
    """For everybody, or for the practice's therapists alone."""
    services = replace(
        practice.services,
        tells_red_flags=without != "tells_red_flags",
        copies_alerts=without != "copies_alerts",
    )
    app = replace(practice, services=services)
    anna = app.athlete()
    agree(app, anna)
    tick(app, anna, "fever")
    assert recipients(app) == ([] if without == "tells_red_flags" else ["VERA@example.org"])


def test_a_mail_that_waits_ends_with_the_consent(practice: App) -> None:
    """The mail to therapists; the settings' address gets one regardless of consent."""
    anna = practice.athlete()
    agree(practice, anna)
    tick(practice, anna, "fever")
    agree(practice, anna, agrees=False)
    assert recipients(practice) == []
    tick(practice, anna, "fever")
    assert recipients(practice) == ["VERA@example.org"]
