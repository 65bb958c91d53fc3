"""Red flags on either database: queued once, sent at the next delivery."""

from dataclasses import replace
from datetime import timedelta

from tests.app import TODAY, App
from worker.domain.checkins import CheckIn
from worker.pipeline.red_flags import tell_of_red_flags


def test_a_red_flag_is_mailed_once_to_whoever_looks_after_the_athlete(app: App) -> None:
    """Ticked on three days of one stretch; nobody is told without somebody to tell."""
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
