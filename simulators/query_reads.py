"""Counts the rows read by each statement, as PostgreSQL reports them.

    with reads(store) as told:
        weekly_due(works, now)
    told.rows                                    # rows that all its scans touched, wanted or not

Just before a statement runs, it's run with EXPLAIN ANALYZE and rolled back.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, event

from worker.store import Store

_EXPLAINED = ("SELECT", "UPDATE", "DELETE", "WITH")


@dataclass
class Told:
    """The statements of a block and the rows that they read."""

    statements: int = 0
    commits: int = 0
    by_statement: list[tuple[str, int]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(number for _, number in self.by_statement)


@contextmanager
def reads(store: Store) -> Iterator[Told]:
    """Count the rows read by every statement of this store within the block."""
    told = Told()

    def before(
        _: Connection, cursor: Any, statement: str, parameters: Any, __: object, many: bool
    ) -> None:
        told.statements += 1
        if statement.lstrip().upper().startswith(_EXPLAINED):
            first = parameters[0] if many else parameters
            told.by_statement.append((statement, _rows(cursor.connection, statement, first)))

    def commit(_: Connection) -> None:
        told.commits += 1

    event.listen(store.engine, "before_cursor_execute", before)
    event.listen(store.engine, "commit", commit)
    try:
        yield told
    finally:
        event.remove(store.engine, "before_cursor_execute", before)
        event.remove(store.engine, "commit", commit)


def _rows(connection: Any, statement: str, parameters: Any) -> int:
    connection.execute("SAVEPOINT explained")
    try:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        told = connection.execute(explain, parameters).fetchone()[0]
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT explained")
        connection.execute("RELEASE SAVEPOINT explained")
    plan = json.loads(told) if isinstance(told, str) else told
    return _touched(plan[0]["Plan"])


def _touched(node: Mapping[str, Any]) -> int:
    inside = sum(_touched(one) for one in node.get("Plans", ()))
    # A bitmap scan is built from index scans, whose rows its heap scan counts again.
    if not node["Node Type"].endswith("Scan") or node["Node Type"] == "Bitmap Index Scan":
        return inside
    each: float = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    each += node.get("Rows Removed by Index Recheck", 0)
    return inside + round(each * node["Actual Loops"])
