"""An account's export in the watched folder: runs come from its table too."""

import io
import json
import zipfile
from datetime import UTC, date, datetime, time, timedelta

import pytest

from tests.app import TODAY, App, run_file
from tests.pipeline.imports.exports import HEADER
from worker.pipeline.exports import MOST_BAD_ROWS


def account_row(number: int, day: date, km: float, *, kind: str = "Run", file: str = "",
                s: int = 2160) -> str:  # fmt: skip
    at = f"{day:%b %d, %Y}, 6:00:00 AM"
    return f'{number},"{at}",x,{kind},,{s},{km},,,false,,,{file},,,{s},{s},{km * 1000},4.0,\n'


ACCOUNT = {
    "activities.csv": (
        f"{HEADER}\n"
        + account_row(1, TODAY - timedelta(days=3), 7.0)
        + account_row(2, TODAY - timedelta(days=2), 10.0, file="activities/2.fit", s=2880)
        + account_row(3, TODAY - timedelta(days=1), 6.0, kind="Walk", file="activities/3.fit")
        + account_row(4, TODAY, 30.0, kind="Ride")
        + account_row(5, TODAY, 5.0).replace("2026", "soon")
    ).encode(),
    "activities/2.fit": run_file(8.0, day=TODAY - timedelta(days=2)),
    "activities/3.fit": run_file(6.0, day=TODAY - timedelta(days=1)),
}


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "unpacked"])
def test_an_accounts_export_in_the_inbox_has_its_rows(app: App, as_zip: bool) -> None:
    """As with `import`: a row without a file, a correction, a walk; a bad row is reported."""
    anna = app.athlete()
    if as_zip:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, held in ACCOUNT.items():
                archive.writestr(name, held)
        app.drop("export_1.zip", content.getvalue())
    else:
        for name, held in ACCOUNT.items():
            app.drop(f"Anna/export_1/{name}", held)
    app.look(2)
    assert app.distances_km(anna) == [7.0, 10.0]
    with app.services.store.reading() as tx:
        failed = tx.inbox.with_verdict("failed")
    assert [one.path.rpartition("/")[2] for one in failed] == ["line 6"]
    assert "is not a date" in failed[0].reason
    assert app.look(2).imported == 0
    assert app.distances_km(anna) == [7.0, 10.0]


def test_an_archive_with_nothing_but_a_table_gives_its_runs(app: App) -> None:
    """A Garmin account without files: its summaries are the runs."""
    anna = app.athlete()
    at = datetime.combine(TODAY, time(6), tzinfo=UTC).timestamp() * 1000
    told = {"activityId": 1, "activityType": "running", "beginTimestamp": at, "duration": 2_880_000,
            "distance": 800_000}  # fmt: skip
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "DI-Connect-Fitness/a_0_summarizedActivities.json",
            json.dumps([{"summarizedActivitiesExport": [told]}]),
        )
    app.drop("garmin.zip", content.getvalue())
    assert app.look(2).imported == 1
    assert app.distances_km(anna) == [8.0]


def test_bad_rows_without_end_are_told_up_to_a_bound(app: App) -> None:
    """A stranger's table can't fill the list of failures."""
    app.athlete()
    rows = "".join(account_row(n, TODAY, 5.0).replace("2026", "soon") for n in range(500))
    app.drop("activities.csv", f"{HEADER}\n{rows}".encode())
    app.look(2)
    with app.services.store.reading() as tx:
        assert len(tx.inbox.with_verdict("failed")) <= MOST_BAD_ROWS + 1
