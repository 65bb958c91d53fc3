"""The names under which the state of mail and of services stands among the ticks."""

from collections.abc import Mapping

from worker.sources.sections import SECTIONS
from worker.store import Transaction

MAIL_TICK = "mail"
"""Under this name stands how the mail server answered last; in trouble, no mail goes out."""

PAUSE_TICK = "mail paused"
"""Under this name stands until when no mail is sent."""

AWAY_TICK = "{} away"
"""Under this name stands since when, and why, a service answers nobody."""

SOURCE_PAUSE_TICK = "pause of {}"
"""Under this name stands until when a service that answered nobody isn't asked."""


def away_services(tx: Transaction) -> Mapping[str, str]:
    """Those that answered nobody when they were last asked, and how that showed."""
    ticks = tx.progress.ticks(*map(AWAY_TICK.format, SECTIONS))
    return {name.removesuffix(AWAY_TICK.format("")): tick.trouble
            for name, tick in ticks.items() if tick.trouble}  # fmt: skip
