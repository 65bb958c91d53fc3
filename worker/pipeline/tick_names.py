"""The names of the ticks that record the state of mail and of services."""

from collections.abc import Mapping

from worker.sources.sections import SECTIONS
from worker.store import Transaction

MAIL_TICK = "mail"
"""The tick of the mail server's last answer; its trouble says why no mail can be sent."""

PAUSE_TICK = "mail paused"
"""The tick of the time until which no mail is sent."""

AWAY_TICK = "{} away"
"""The tick of an outage of a service: when it began, and the error."""

SOURCE_PAUSE_TICK = "pause of {}"
"""The tick of the time until which a service isn't asked, because of an outage."""


def away_services(tx: Transaction) -> Mapping[str, str]:
    """The services with an outage when they were last asked, and the error of each."""
    ticks = tx.progress.ticks(*map(AWAY_TICK.format, SECTIONS))
    return {name.removesuffix(AWAY_TICK.format("")): tick.trouble
            for name, tick in ticks.items() if tick.trouble}  # fmt: skip
