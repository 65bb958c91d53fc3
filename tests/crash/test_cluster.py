"""The small form of the crash harness on the engine for several workers.

`python -m tests.crash --engine procrastinate` is the full form.
"""

import random

from tests.crash.databases import database_on
from tests.crash.fortnight import fortnight, one_of_each
from tests.crash.promises import broken

SCENES = 9
"""Up to the first weekly mail and the first alert."""

KILLS = 10


def test_a_kill_of_a_crews_worker_breaks_no_promise(postgres_server: str) -> None:
    """Another worker joins, notices the dead one's jobs, and continues."""
    with (
        database_on(postgres_server) as database,
        fortnight(database=database, until=SCENES, crew=True) as fortnight_home,
    ):
        dry = fortnight_home.dry()
        assert not broken(dry.outcome, dry.outcome)
        assert len(dry.outcome.taken) > 1
        # The boundaries around a mail, and random others.
        chosen = one_of_each(dry.boundaries, at_least=0)
        random.Random(3).shuffle(chosen)  # noqa: S311  no secret
        chosen.sort(key=lambda boundary: "smtp dot" not in boundary.label)
        kills = 0
        for boundary in chosen[:KILLS]:
            outcome = fortnight_home.killed_at(boundary, dry)
            assert not broken(dry.outcome, outcome), boundary
            kills += len(outcome.kills)
        assert kills > KILLS // 2


def test_kills_of_a_crew_at_random_times_break_no_promise(postgres_server: str) -> None:
    """Some lives are killed several times."""
    with (
        database_on(postgres_server) as database,
        fortnight(database=database, until=SCENES, crew=True) as fortnight_home,
    ):
        dry = fortnight_home.dry()
        outcome = fortnight_home.killed_at_random(dry, random.Random(5), share=0.3)  # noqa: S311  as above
        assert not broken(dry.outcome, outcome)
