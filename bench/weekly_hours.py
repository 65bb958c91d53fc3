"""The weekly hour over every IANA zone and sixteen years: `python bench/weekly_hours.py`.

Exit status 1 where a week has no due instant, or more than one; each that has is printed.
"""

import argparse
import sys
import time
from pathlib import Path
from zoneinfo import available_timezones

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.weekly_hours import missteps, weeks_walked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", type=int, default=2022)
    parser.add_argument("--until", type=int, default=2038)
    options = parser.parse_args()
    zones = sorted(available_timezones() - {"localtime", "Factory"})
    began, wrong = time.monotonic(), 0
    for zone in zones:
        for line in missteps(zone, since=options.since, until=options.until):
            wrong += 1
            print(line, flush=True)
    walked = len(zones) * weeks_walked(since=options.since, until=options.until)
    print(
        f"{len(zones)} zones, {options.since} to {options.until}, about {walked:,} weeks: "
        f"{wrong} wrong, in {time.monotonic() - began:.0f} s"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
