"""Short mails: a request to connect a source again, and the notice to the operator."""

from dataclasses import dataclass
from datetime import datetime

from worker.domain.models import Athlete, Email
from worker.notify.render import Renderer, clean

_LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class ReconnectFacts:
    """A source whose credential is no longer accepted, until the athlete connects it again.

    `source` is its name, `title` what people call it; `key_menu` is where it lets them make a key.
    `by_key`: with a key, which is given on the athlete's page, not by a consent at the service.
    """

    athlete: Athlete
    source: str
    title: str
    now: datetime
    by_key: bool = False
    key_menu: str = ""


def compose_reconnect(renderer: Renderer, facts: ReconnectFacts) -> Email:
    """The mail that asks to connect a source again."""
    links = {}
    if renderer.signer is not None and facts.by_key and renderer.checkins:
        links["connect"] = renderer.signer.sign("athlete", facts.athlete, now=facts.now)
    elif renderer.signer is not None and not facts.by_key:
        links["connect"] = renderer.signer.sign(
            "connect", facts.athlete, now=facts.now, source=facts.source
        )
    context = {
        "source": clean(facts.title),
        "source_name": clean(facts.source),
        "by_key": facts.by_key,
        "key_menu": clean(facts.key_menu),
    }
    return renderer.email("reconnect", facts.athlete, context, links=links)


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """Something the operator should look at: one line of what, further lines of how to mend it.

    Made of our own words; what came from elsewhere in them is cleaned before it's shown.
    """

    recipient: str
    what: str
    lines: tuple[str, ...] = ()


def compose_notice(renderer: Renderer, facts: NoticeFacts) -> Email:
    """The mail to the operator."""
    context = {
        "what": clean(facts.what, longest=_LONGEST_LINE),
        "lines": [clean(line, longest=_LONGEST_LINE) for line in facts.lines],
    }
    return renderer.email("notice", None, context, recipient=facts.recipient)
