"""From facts to a mail: a subject, a text part, an HTML part, the charts.

    AlertFacts, ...  →  context and charts (alert.py, weekly.py, ...)  →  Email (render.py)

Each kind of mail is a module with its facts and one function that composes it. Nothing here decides
whether a mail is sent, and nothing here reads a clock: `now` comes with the facts.
"""

from worker.notify.address import AddressFacts, compose_address, compose_address_asked
from worker.notify.alert import AlertFacts, compose_alert
from worker.notify.calendar import CalendarFacts, compose_calendar
from worker.notify.notices import (
    AlertCopyFacts,
    NoticeFacts,
    ReconnectFacts,
    RedFlagFacts,
    compose_alert_copy,
    compose_notice,
    compose_reconnect,
    compose_red_flag,
)
from worker.notify.render import Renderer
from worker.notify.weekly import Noticed, Unseen, WeeklyFacts, compose_weekly
from worker.notify.welcome import WelcomeFacts, compose_welcome

__all__ = [
    "AddressFacts",
    "AlertCopyFacts",
    "AlertFacts",
    "CalendarFacts",
    "Composer",
    "NoticeFacts",
    "Noticed",
    "ReconnectFacts",
    "RedFlagFacts",
    "Unseen",
    "WeeklyFacts",
    "WelcomeFacts",
]


class Composer(Renderer):
    """Composes each kind of mail, and the calendar, from its facts."""

    alert = compose_alert
    weekly = compose_weekly
    welcome = compose_welcome
    address = compose_address
    address_asked = compose_address_asked
    reconnect = compose_reconnect
    red_flag = compose_red_flag
    alert_copy = compose_alert_copy
    notice = compose_notice
    calendar = compose_calendar

    @property
    def broken(self) -> tuple[str, ...]:
        """The operator's templates that failed, each with its place and reason."""
        return self.loader.broken

    @property
    def unusable(self) -> tuple[str, ...]:
        """The broken templates as sentences for the operator."""
        return tuple(f"{one}; the shipped one is used instead" for one in self.broken)

    def check(self) -> tuple[str, ...]:
        """Try every template of the operator on sample mails; return the broken ones."""
        from worker.notify.samples import sample_facts

        spoken = {self.language, *self.loader.own_languages}

        def compose_each() -> None:
            for language in sorted(spoken):
                for kind, facts in sample_facts(language):
                    getattr(self, kind)(facts)

        self.loader.try_each(compose_each)
        return self.broken
