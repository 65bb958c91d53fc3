"""The notice: the mail to the operator, about something to look at."""

from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import Email
from worker.notify.render import Renderer, clean

_LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """Something the operator should look at: one line of what, further lines of how to mend it.

    Made of our own words; what came from elsewhere in them is cleaned before it's shown.
    """

    recipient: str
    what: str
    now: datetime
    lines: tuple[str, ...] = ()


def compose_notice(renderer: Renderer, facts: NoticeFacts) -> Email:
    """The mail to the operator."""
    context = {
        "what": clean(facts.what, longest=_LONGEST_LINE),
        "lines": [clean(line, longest=_LONGEST_LINE) for line in facts.lines],
    }
    return renderer.email("notice", None, context, recipient=facts.recipient)
