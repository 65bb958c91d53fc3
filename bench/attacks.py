"""What strangers, athletes, hostile files and services can take of a worker: seconds and memory.

    python -m bench.attacks

Starts `easeback run` on SQLite with a Strava and a mail server on loopback, attacks it in one way
after another, and prints a row for each: how long it was until true files were in, until another
athlete's page came, or until the worker had done with it; the most memory that the worker and its
reader of files had meanwhile; and what came of it. Two minutes and a half. An import is a command
of its own beside the worker, and what Strava does is asked by the client alone: their memory is
told in the worker's place.
"""

import tempfile
from pathlib import Path

from bench import attacks_of_files, attacks_of_services, attacks_on_pages
from bench.small_stage import staged
from simulators.smtp_server import SmtpServer


def main() -> None:
    """One after another, so that none is measured in another's shadow."""
    print("| attack | s | MB, worker | MB, reader | what came of it |")
    print("|---|---|---|---|---|", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="easeback-attacks-") as home,
        SmtpServer(lints=False) as mail,
        staged(Path(home), mail) as stage,
    ):
        for of in (attacks_of_files, attacks_on_pages, attacks_of_services):
            for row in of.rows(stage):
                print(row, flush=True)


if __name__ == "__main__":
    main()
