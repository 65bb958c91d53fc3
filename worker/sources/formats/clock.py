"""Instants and offsets as files tell them."""

from datetime import UTC, datetime, timedelta

FURTHEST_WEST = timedelta(hours=-12)
FURTHEST_EAST = timedelta(hours=14)
QUARTER_HOUR = timedelta(minutes=15)
TOLERANCE = timedelta(minutes=2)


def credible_offset(lead: timedelta) -> timedelta | None:
    """A clock's lead over UTC where a place on earth has it, to the quarter of an hour."""
    offset = round(lead / QUARTER_HOUR) * QUARTER_HOUR
    if abs(lead - offset) <= TOLERANCE and FURTHEST_WEST <= offset <= FURTHEST_EAST:
        return offset
    return None


def parse_instant(text: str) -> tuple[datetime, timedelta | None] | None:
    """An ISO instant, aware, and the local offset where it was written with one; else None.

    An offset of nought is only another way to write UTC, and so is none at all.
    """
    try:
        at = datetime.fromisoformat(text)
        lead = at.utcoffset()
        if lead is None:
            return at.replace(tzinfo=UTC), None
        return at.astimezone(UTC), credible_offset(lead) if lead else None
    except (ValueError, OverflowError):
        return None
