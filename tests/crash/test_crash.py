"""The small form of the crash harness: one kill of every kind, some at random, and the mutants.

`python -m tests.crash` is the full form.
"""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.crash.databases import database_on
from tests.crash.fortnight import Dry, Fortnight, fortnight, one_of_each
from tests.crash.mutants import MUTANTS
from tests.crash.promises import broken

SCENES = 16
"""The first days: the first files, a weekly mail, an alert, one refused, one deferred; a runner who
connects Strava, whose tokens expire and who has a jump there; one who says how it feels.
"""

SHORT = 5
"""Up to the first mails, the first fresh tokens and the first answer."""


@pytest.fixture(scope="module")
def fortnight_home() -> Iterator[Fortnight]:
    with fortnight(until=SCENES) as fortnight_home:
        yield fortnight_home


@pytest.fixture(scope="module")
def dry(fortnight_home: Fortnight) -> Dry:
    return fortnight_home.dry()


def test_the_story_has_something_of_everything(dry: Dry) -> None:
    """The undisturbed story has alerts, weekly mails and a mail given up, and keeps every
    promise.
    """
    assert not broken(dry.outcome, dry.outcome)
    names = " ".join(dry.outcome.names[name] for name in dry.outcome.taken)
    assert "weekly to Ann" in names
    assert "alert to Ann" in names
    assert "alert to Ben" in names
    assert "alert to Dee" in names
    assert "reconnect" not in names
    assert dry.outcome.tokens.refreshed == 5
    assert [answer.athlete for answer in dry.outcome.confirmed] == ["Ann", "Ann", "Ann"]
    assert [letter.state for letter in dry.outcome.letters].count("dead") == 1
    assert {
        "before commit of source_credential, after POST /oauth/token",
        "before commit of outbox, after smtp body",
        "before commit of outbox, after answer to smtp dot",
        "after commit of athlete checkin",
        "after fsync .easeback-#db.part",
        "before smtp dot",
        "after http answer POST /oauth/token",
    } <= {boundary.label for boundary in dry.boundaries}


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_kill_at_any_kind_of_boundary_breaks_no_promise(
    fortnight_home: Fortnight, dry: Dry, every: int
) -> None:
    """Just after the last boundary of each kind: just before the next, nothing more is stored."""
    kinds = one_of_each(dry.boundaries, at_least=0)
    after = [boundary for boundary in kinds if boundary.label.startswith("after")]
    assert len(after) >= 40
    for boundary in after[::every]:
        outcome = fortnight_home.killed_at(boundary, dry)
        assert not broken(dry.outcome, outcome), boundary


def test_tokens_lost_on_the_wire_are_missed_soon_and_asked_for_in_one_mail(
    fortnight_home: Fortnight, dry: Dry
) -> None:
    """The runner connects again, and no run is missing in the end."""
    answered = [b for b in dry.boundaries if b.label == "after http answer POST /oauth/token"]
    sent = next(b for b in answered if fortnight_home.scenes[b.scene].at.day == 4)
    outcome = fortnight_home.killed_at(sent, dry)
    assert not broken(dry.outcome, outcome)
    (lost,) = outcome.tokens.lost
    assert lost.found_at - lost.lost_at == timedelta(days=1)
    assert [one.kind for one in outcome.letters].count("reconnect") == 1
    assert not outcome.tokens.astray


def test_kills_at_random_times_break_no_promise(fortnight_home: Fortnight, dry: Dry) -> None:
    """Every third process is killed at some time, some of them several times."""
    outcome = fortnight_home.killed_at_random(dry, random.Random(7), share=0.3)  # noqa: S311  no secret
    assert not broken(dry.outcome, outcome)


@pytest.fixture(scope="module")
def short_fortnight() -> Iterator[Fortnight]:
    with fortnight(until=SHORT) as fortnight_home:
        yield fortnight_home


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_order_of_work_is_caught(short_fortnight: Fortnight, mutant: str) -> None:
    """Each mutant breaks the promise it's about."""
    assert short_fortnight.caught(mutant)


def test_a_kill_on_postgresql_breaks_no_promise(postgres_server: str) -> None:
    """The same around the commits of a mail, of fresh tokens and of an answer."""
    with (
        database_on(postgres_server) as database,
        fortnight(database=database, until=SHORT) as fortnight_home,
    ):
        dry = fortnight_home.dry()
        last = {boundary.label: boundary for boundary in dry.boundaries}
        for commit in (
            "outbox, after smtp body",
            "source_credential, after POST /oauth/token",
            "athlete checkin",
        ):
            boundary = last[f"before commit of {commit}"]
            assert not broken(dry.outcome, fortnight_home.killed_at(boundary, dry)), boundary
