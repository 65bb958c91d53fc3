"""How much processor time a command takes, beside importing what it's built of.

    python bench/start.py [--rounds N]

In a folder of its own with an athlete and 1,300 runs. The figures are the least of the rounds, in
which all commands take turns, and their ratio to `import sqlalchemy, typer, pydantic`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from simulators.recordings import recording  # noqa: E402
from worker.store import Store  # noqa: E402

BASE = ("-c", "import sqlalchemy, typer, pydantic")
COMMANDS = ("athlete list", "runs", "alerts", "status", "ceiling", "plan", "explain", "--help",
            "statsu")  # fmt: skip
RUNS = 1300
# Installed programs have their bytecode written.
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": str(ROOT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    calls = [BASE, *(("-m", "worker", *command.split()) for command in COMMANDS)]
    with tempfile.TemporaryDirectory(prefix="easeback-start-") as made:
        home = Path(made)
        fill(home)
        least = [
            min(each) for each in zip(*(measured(calls, home) for _ in range(rounds)), strict=True)
        ]
    for call, seconds in zip(calls, least, strict=True):
        name = " ".join(call[2:] if call is not BASE else call)
        print(f"{seconds * 1000:6.0f} ms  {seconds / least[0]:5.2f}  {name}")


def measured(calls: list[tuple[str, ...]], home: Path) -> list[float]:
    """The processor time of each call, in seconds."""
    return [processor_time(call, home) for call in calls]


def processor_time(call: tuple[str, ...], home: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603  our own program
        [sys.executable, *call],
        cwd=home,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(home: Path) -> None:
    """An athlete who has run every other day."""
    add = ["athlete", "add", "--name", "Ann", "--email", "ann@example.org"]
    processor_time(("-m", "worker", *add), home)
    store = Store.open(f"sqlite:///{home / 'data' / 'easeback.db'}")
    today = date.today()  # noqa: DTZ011  the commands' own day, roughly
    runs = [recording(today - timedelta(days=2 * back)) for back in range(1, RUNS + 1)]
    with store.transaction() as tx:
        (ann,) = tx.athletes.all()
        tx.runs.save(ann, runs, now=datetime.now(UTC), today=today)
    store.close()


if __name__ == "__main__":
    main()
