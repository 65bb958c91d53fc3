"""The names of the ticks that record the state of mail and of services."""

from collections.abc import Mapping

from worker.sources.sections import SECTIONS
from worker.store import Transaction

MAIL_TICK = "mail"
"""Under this name stands how the mail server answered last; in trouble, no mail goes out."""

PAUSE_TICK = "mail paused"
"""Under this name stands until when no mail is sent."""

AWAY_TICK = "{} away"
"""Under this name stands why a service answered nobody when it was last asked for news."""


def away_services(tx: Transaction) -> Mapping[str, str]:
    """Those that answered nobody when they were last asked for news, and how that showed."""
    ticks = tx.progress.ticks(*map(AWAY_TICK.format, SECTIONS))
    return {name.removesuffix(AWAY_TICK.format("")): tick.trouble
            for name, tick in ticks.items() if tick.trouble}  # fmt: skip
