"""Made runs, as a source returns them and as a FIT file."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from simulators.activity_files import fit_run
from worker.domain.models import Recording, SourceName

TODAY = date(2026, 11, 20)
"""A Friday."""


def run_file(km: float, *, day: date = TODAY, hour: int = 6, minutes: float | None = None) -> bytes:
    """A minimal FIT file of one run."""
    return fit_run(
        datetime.combine(day, time(hour), tzinfo=UTC),
        distance_m=km * 1000,
        moving_s=60 * (minutes or 6 * km),
        offset_h=1,
        records=2,
    )


def recording(
    day: date = TODAY,
    km: float = 8.0,
    *,
    at: time = time(6),
    minutes: float | None = None,
    source: SourceName = "inbox",
    external_id: str | None = None,
    **more: object,
) -> Recording:
    """A run as a source returns it; its external name is derived from its figures by default."""
    started_at = datetime.combine(day, at, tzinfo=UTC)
    moving_s = 60 * (minutes or 6 * km)
    name = hashlib.sha256(f"{source} {started_at} {km}".encode()).hexdigest()
    told: dict[str, object] = {
        "source": source,
        "external_id": external_id or name,
        "started_at": started_at,
        "day": day,
        "distance_m": km * 1000,
        "moving_s": moving_s,
        "elapsed_s": moving_s,
        "device": source != "strava",
    }
    return Recording(**{**told, **more})  # type: ignore[arg-type]  # what a test names


def steady(*, until: date = TODAY, weeks: int = 8, km: float = 8.0) -> Sequence[Recording]:
    """A run every second day, the last one two days before `until`."""
    return [recording(until - timedelta(days=back), km) for back in range(2, weeks * 7, 2)]
