"""The names that services give to tables of activities."""

import re
from typing import Literal

TableKind = Literal["table", "summaries", "sessions"]
"""A CSV; a Garmin account's summaries; a Runtastic account's sessions."""

# Strava's, Garmin Connect's list (also as browsers name its second download), RunKeeper's.
_TABLE = re.compile(r"(activities( ?\(\d+\))?|cardioactivities)\.csv")
_SUMMARIES = "_summarizedactivities.json"
_SESSIONS = "sport-sessions"


def table_kind(path: str) -> TableKind | None:
    """The kind of the table at this path; None for all other names."""
    folder, _, name = path.replace("\\", "/").casefold().rpartition("/")
    if _TABLE.fullmatch(name):
        return "table"
    if name.endswith(_SUMMARIES):
        return "summaries"
    is_session = folder.rpartition("/")[2] == _SESSIONS and name.endswith(".json")
    return "sessions" if is_session else None


def tables_among(names: list[str]) -> list[str]:
    """The names in an archive that are tables; for sessions, their folder with a slash."""
    found: dict[str, None] = {}
    for name in names:
        kind = table_kind(name)
        if kind == "sessions":
            found[name.replace("\\", "/").rpartition("/")[0] + "/"] = None
        elif kind:
            found[name] = None
    return list(found)
