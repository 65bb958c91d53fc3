"""A practice with thirty athletes: a few for each thing that can stand out, the rest for none."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from simulators.web_instance import NOW, TODAY, WINTER, Instance, made_recording
from worker.domain.checkins import CheckIn
from worker.domain.models import Athlete, Finding, Race
from worker.domain.practice import Therapist
from worker.sources.strava.errors import REVOKED
from worker.store import Transaction
from worker.store.progress import SourceState

NAMES = (
    "Anna Berger", "Bruno Keller", "Clara Winter", "David Stein", "Elena Moretti", "Felix Brandt",
    "Greta Lindqvist", "Henri Dubois", "Ines Carvalho", "Jonas Vogel", "Katja Sommer",
    "Liam O’Connor", "Mira Novak", "Nils Hansen", "Olga Petrova", "Paul Schneider", "Quentin Roy",
    "Rosa Jiménez", "Simon Wagner", "Tara Singh", "Uwe Hartmann", "Vera Kovács", "Wim de Boer",
    "Xenia Wolf", "Yann Le Gall", "Zoë Fischer", "Ada Nyström", "Ben Carter", "Cem Demir",
    "Dora Klein",
)  # fmt: skip


def add_therapist(made: Instance, name: str = "Dr. Vera Sand", **more: str) -> Therapist:
    new = Therapist(0, name, f"{name.rsplit(maxsplit=1)[-1].casefold()}@example.org", NOW)
    with made.store.transaction() as tx:
        return tx.therapists.add(replace(new, **more))  # type: ignore[arg-type]  # fields of Therapist


def practice_link(made: Instance, therapist: Therapist) -> str:
    """The path of a therapist's link."""
    return f"/practice/{made.signer.token('practice', therapist, now=made.clock.now)}"


def add_thirty(made: Instance) -> Mapping[str, Athlete]:
    """Add thirty athletes; returns them by first name.

    Anna ticked signs of an emergency, Bruno a warning sign, Clara and David hurt. Elena and Felix
    were warned, Greta is a bit sore. Henri's Strava fails, the mail to Jonas is refused, that to
    Ines is paused. Katja hasn't run for three weeks; Ben, Cem and Dora never have.
    """
    race = Race("Spring half marathon", TODAY + timedelta(days=78), 21_097.5)
    everybody = {}
    for number, name in enumerate(NAMES):
        first = name.split()[0]
        everybody[first] = made.add(
            name,
            email=f"{first.casefold()}@example.org",
            pain=("buttock",) if number % 2 else (),
            race=race if number % 3 == 0 else None,
            timezone="Europe/Berlin",
        )
    with made.store.transaction() as tx:
        for first, one in everybody.items():
            if first not in ("Ben", "Cem", "Dora"):
                _run(tx, one, since=21 if first == "Katja" else 0)
            worked = SourceState("ok", NOW - timedelta(hours=1))
            tx.progress.save_source(one, "strava", worked)
        for first, km in (("Elena", 14.2), ("Felix", 12.1)):
            warn(tx, everybody[first], km=km)
        failing = SourceState("failing", NOW - timedelta(days=3), REVOKED)
        tx.progress.save_source(everybody["Henri"], "strava", failing)
        tx.athletes.pause(everybody["Ines"], since=NOW - timedelta(days=8))
        give_up_mail(tx, everybody["Jonas"])
    for first, answers in _ANSWERS.items():
        made.answer(everybody[first], *answers)
    return everybody


def warn(tx: Transaction, athlete: Athlete, *, km: float = 14.2, day: date = TODAY) -> None:
    """Queue a mail as for a run on that day."""
    finding = Finding(day, "run", 1, 2, km * 1000, 8_900.0)
    (found,) = tx.findings.reconcile(athlete, since=day, found=[finding], now=NOW)
    tx.findings.mark_notified(found, outbox_id=queue_mail(tx, athlete), on=day)


def queue_mail(tx: Transaction, athlete: Athlete, *, key: str = "alert") -> int:
    """Queue a mail without content."""
    outbox_id = tx.outbox.enqueue(
        athlete,
        kind="alert",
        key=f"{key}:{athlete.id}",
        message_id=f"<{key}.{athlete.id}@example.org>",
        sender="easeback@example.org",
        recipient=athlete.email,
        mime=b"made",
        now=NOW,
    )
    assert outbox_id is not None
    return outbox_id


def give_up_mail(tx: Transaction, athlete: Athlete, *, key: str = "alert") -> None:
    """Mark a mail to the athlete as refused for good by the mail server."""
    mail = tx.outbox.by_id(queue_mail(tx, athlete, key=key))
    assert mail is not None
    claimed = tx.outbox.claim(NOW)
    while claimed is not None and claimed.id != mail.id:
        tx.outbox.sent(claimed, now=NOW)
        claimed = tx.outbox.claim(NOW)
    assert claimed is not None
    tx.outbox.dead(claimed, error="550 no such user here")


def _run(tx: Transaction, athlete: Athlete, *, since: int) -> None:
    """Add the runs of a winter without its jump, up to `since` days ago."""
    runs = [(back, min(km, 9.0)) for back, km in WINTER if back >= since]
    tx.runs.save(athlete, map(made_recording, runs), now=NOW, today=TODAY)


def _back(days: int) -> date:
    return TODAY - timedelta(days=days)


_ANSWERS = {
    "Anna": (
        CheckIn(_back(2), "hurts", ("low_back",), 6),
        CheckIn(_back(1), "hurts", ("low_back",), 8, ("saddle_numb", "weak_legs")),
    ),
    "Bruno": (CheckIn(_back(3), "hurts", ("shin",), 5, ("bone_point",)),),
    "Clara": (
        CheckIn(_back(5), "sore", ("buttock",), 3),
        CheckIn(_back(1), "hurts", ("buttock",), 7),
    ),
    "David": (CheckIn(_back(4), "hurts", ("knee",), 4),),
    "Greta": (CheckIn(_back(2), "sore", ("calf",), 2),),
    "Mira": (CheckIn(_back(6), "hurts", ("knee",), 4), CheckIn(_back(1), "fine")),
}
