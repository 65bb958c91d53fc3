"""The small form of the crash harness: one kill of every kind, some at random, and the mutants.

`python bench/crash.py` is the full form.
"""

import random
from collections.abc import Iterator

import pytest

from tests.crash.databases import address_on
from tests.crash.fortnight import Dry, Fortnight, fortnight, one_of_each
from tests.crash.mutants import MUTANTS
from tests.crash.promises import broken

SCENES = 13
"""The first days: the first files, a weekly mail, an alert, one refused, one put off."""


@pytest.fixture(scope="module")
def house() -> Iterator[Fortnight]:
    with fortnight(until=SCENES) as house:
        yield house


@pytest.fixture(scope="module")
def dry(house: Fortnight) -> Dry:
    return house.dry()


def test_the_story_has_something_of_everything(dry: Dry) -> None:
    """An undisturbed life sends alerts and weekly mails, gives one up, and keeps every promise."""
    assert not broken(dry.outcome, dry.outcome)
    names = " ".join(dry.outcome.names[name] for name in dry.outcome.taken)
    assert "weekly to Ann" in names
    assert "alert to Ann" in names
    assert "alert to Ben" in names
    assert [letter.state for letter in dry.outcome.letters].count("dead") == 1
    kinds = {boundary.label.split(" in ")[0] for boundary in dry.boundaries}
    assert {"before commit", "after fsync", "before smtp dot", "after smtp answer"} <= kinds


def test_a_kill_at_any_kind_of_boundary_breaks_no_promise(house: Fortnight, dry: Dry) -> None:
    """The last boundary of each kind, and some spread over the days."""
    kills = 0
    for boundary in one_of_each(dry.boundaries, at_least=36):
        outcome = house.killed_at(boundary, dry)
        assert not broken(dry.outcome, outcome), boundary
        kills += outcome.kills
    assert kills >= 36


def test_kills_at_random_times_break_no_promise(house: Fortnight, dry: Dry) -> None:
    """Every second process dies at some time, some of them again and again."""
    outcome = house.killed_at_random(dry, random.Random(7), share=0.3)  # noqa: S311  no secret
    assert not broken(dry.outcome, outcome)


@pytest.fixture(scope="module")
def short_house() -> Iterator[Fortnight]:
    with fortnight(until=4) as house:
        yield house


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_order_of_work_is_caught(short_house: Fortnight, mutant: str) -> None:
    """Mark then send, send then mark, runs before findings: each breaks a promise somewhere."""
    assert short_house.caught(mutant)


def test_a_kill_on_postgresql_breaks_no_promise(postgres_server: str) -> None:
    """The same around the commits of one weekly mail."""
    with address_on(postgres_server) as url, fortnight(database_url=url, until=4) as house:
        dry = house.dry()
        for boundary in dry.boundaries[-24::12]:
            assert not broken(dry.outcome, house.killed_at(boundary, dry)), boundary
