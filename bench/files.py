"""All there is to say about reading files, in one go: `python -m bench.files [FOLDER]`.

Compares the readers, shows the outcome of every file of a collection (FOLDER, or else
EASEBACK_REAL_DATA), and measures imports of growing size. Without a collection the first part reads
made files, and the second reports that there is none.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from worker.sources import NotARun, Unreadable
from worker.sources.formats.child import Reader

_NOTED = "a run, with a note"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "folder", type=Path, nargs="?", default=os.environ.get("EASEBACK_REAL_DATA")
    )
    folder: Path | None = parser.parse_args().folder
    for title, module in (("Readers of FIT", "fit_readers"), ("Imports", "import_archive")):
        print(f"\n## {title}\n", flush=True)
        environment = {**os.environ, **({"EASEBACK_REAL_DATA": str(folder)} if folder else {})}
        command = [sys.executable, "-m", f"bench.{module}"]
        subprocess.run(command, env=environment, check=True)  # noqa: S603  our own interpreter
        if module == "fit_readers":
            print("\n## A collection, file by file\n")
            print("\n".join(collection(Path(folder)) if folder else ["no collection was named"]))


def collection(folder: Path) -> Iterator[str]:
    """How many files had each outcome, and the reason of each that can't be read."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        yield f"nothing is in {folder}"
    count: Counter[str] = Counter()
    refused: list[str] = []
    with Reader() as reader:
        for path, member in reader.read_many(paths):
            parsed = member.parsed
            if isinstance(parsed, Unreadable):
                count["can't be read"] += 1
                refused.append(f"- {path.relative_to(folder)}: {parsed.reason}")
            elif isinstance(parsed, NotARun):
                count[parsed.reason] += 1
            else:
                count[_NOTED if any(run.note for run in parsed) else "a run"] += 1
    yield "| what | files |"
    yield "|---|---|"
    yield from (f"| {what} | {number} |" for what, number in count.most_common())
    yield ""
    yield from refused


if __name__ == "__main__":
    main()
