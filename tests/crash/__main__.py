"""The crash harness in full: a fortnight, killed at every boundary, then at random times.

    --random 500       further kills at random times (0: none)
    --postgres URL     on PostgreSQL instead of SQLite, in a database of its own
    --engine KIND      "procrastinate": each life is a worker of a crew, on PostgreSQL (--postgres,
                       or the server of the tests)
    --every 1          only each n-th boundary
    --first 0          from that one on: `--every 2 --first 0` and `--every 2 --first 1` share the
                       work between two cores
    --mutants          first show that wrong orders of work are caught

Exit status 1 where a promise didn't hold; each that didn't is printed with its boundary.
"""

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.conftest import POSTGRES_HERE
from tests.crash.databases import database_on
from tests.crash.fortnight import Boundary, Dry, Fortnight, fortnight
from tests.crash.mutants import MUTANTS
from tests.crash.promises import PROMISES, Outcome, broken

SHARE = 0.5
"""The probability that a life of the random form is killed."""


@dataclass
class Tally:
    """The totals over all kills."""

    kills: int = 0
    in_doubt: int = 0
    mails: int = 0
    second_copies: int = 0
    flagged: int = 0
    in_gap: int = 0
    tokens_lost: int = 0
    asked_again: int = 0
    answers: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    def add(self, dry: Dry, outcome: Outcome, where: object) -> None:
        wrong = broken(dry.outcome, outcome)
        for promise, lines in wrong.items():
            self.broken[promise] += 1
            print(f"BROKEN at {where}: {promise}: {lines[:3]}", flush=True)
        self.kills += len(outcome.kills)
        self.in_doubt += outcome.kills_in_doubt
        self.mails += len(outcome.taken)
        self.second_copies += sum(len(copies) - 1 for copies in outcome.taken.values())
        self.flagged += sum(letter.perhaps_twice for letter in outcome.letters)
        self.in_gap += outcome.kills_in_gap
        self.tokens_lost += len(outcome.tokens.lost)
        self.asked_again += sum(letter.kind == "reconnect" for letter in outcome.letters)
        self.answers += len(outcome.confirmed)

    def show(self, what: str, seconds: float) -> None:
        print(
            f"{what}: {self.kills} kills in {seconds:.0f} s, {self.in_doubt} of them with a mail "
            f"in doubt; {self.mails} mails owed, {self.broken['no mail lost']} lives lost one; "
            f"{self.second_copies} second copies, {self.flagged} flagged; "
            f"{self.in_gap} kills with fresh tokens on the wire, {self.tokens_lost} lost there, "
            f"{self.asked_again} mails to connect again; {self.answers} answers confirmed"
        )
        for promise in PROMISES:
            print(f"  {promise}: {'BROKEN' if self.broken[promise] else 'held'}")


def main() -> int:
    options = _options()
    crew = options.engine == "procrastinate"
    server = options.postgres or (POSTGRES_HERE if crew else None)
    with database_on(server) as database, fortnight(database=database, crew=crew) as fortnight_home:
        if options.mutants and not _mutants_are_caught(fortnight_home):
            return 1
        dry = fortnight_home.dry()
        kinds = Counter(boundary.label for boundary in dry.boundaries)
        passes = len(fortnight_home.scenes)
        print(f"{len(dry.boundaries)} boundaries of {len(kinds)} kinds in {passes} passes")
        tallies = [
            _at_boundaries(fortnight_home, dry, dry.boundaries[options.first :: options.every])
        ]
        if options.random:
            tallies.append(_at_random(fortnight_home, dry, options.random, options.seed))
    return int(any(tally.broken for tally in tallies))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--random", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--postgres", metavar="URL")
    parser.add_argument("--engine", choices=["embedded", "procrastinate"], default="embedded")
    parser.add_argument("--mutants", action="store_true")
    return parser.parse_args()


def _at_boundaries(fortnight_home: Fortnight, dry: Dry, boundaries: tuple[Boundary, ...]) -> Tally:
    tally, began = Tally(), time.monotonic()
    for boundary in boundaries:
        tally.add(dry, fortnight_home.killed_at(boundary, dry), boundary)
    tally.show("at every boundary", time.monotonic() - began)
    return tally


def _at_random(fortnight_home: Fortnight, dry: Dry, wanted: int, seed: int) -> Tally:
    tally, began, dice = Tally(), time.monotonic(), random.Random(seed)
    while tally.kills < wanted:
        tally.add(
            dry, fortnight_home.killed_at_random(dry, dice, share=SHARE), f"random, seed {seed}"
        )
    tally.show("at random times", time.monotonic() - began)
    return tally


def _mutants_are_caught(fortnight_home: Fortnight) -> bool:
    for mutant in MUTANTS:
        caught = fortnight_home.caught(mutant)
        print(f"mutant {mutant!r}: {caught or 'NOT CAUGHT'}", flush=True)
        if not caught:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
