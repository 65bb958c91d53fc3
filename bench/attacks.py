"""What strangers, athletes, hostile files and services can take of a worker: seconds and memory.

    python -m bench.attacks

Starts `easeback run` on SQLite with a simulated Strava and a mail server, runs one attack after
another and prints a row for each: how long it took until good files were in, until another
athlete's page was answered, or until the worker was done with the attack; the peak memory of the
worker and its file reader; and the outcome. Takes two and a half minutes. An import is a separate
command beside the worker, and the attacks by Strava use the client alone; their rows show the
memory of that process.
"""

import tempfile
from pathlib import Path

from bench import attacks_of_files, attacks_of_services, attacks_on_pages
from bench.small_stage import staged
from simulators.smtp_server import SmtpServer


def main() -> None:
    """Run the attacks one after another, so that none affects another's figures."""
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
