"""From facts to a mail: the words, the picture, the links; a subject, a text part, an HTML part.

    AlertFacts, ...  →  context (alert.py, weekly.py)  →  templates (shelf.py)  →  Email
                     →  picture (chart.py)             →  PNG                   →

Nothing here decides whether a mail is sent, and nothing here reads a clock: `now` comes with the
facts. Sentences stand in `templates/words/`, one file a language, so that text part and HTML part
can't come to differ.
"""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from worker.compose import alert, samples, weekly
from worker.compose.chart import Easel, Picture
from worker.compose.facts import AlertFacts, Noticed, NoticeFacts, ReconnectFacts, WeeklyFacts
from worker.compose.shelf import SHIPPED, Shelf
from worker.compose.words import clean, fold, given
from worker.links import Signer
from worker.model import Athlete, Email, MailKind
from worker.routine import Prescription

__all__ = ["AlertFacts", "Composer", "NoticeFacts", "Noticed", "ReconnectFacts", "WeeklyFacts"]

_CHECKIN_ANSWERS = ("fine", "sore", "hurts")
_NOTICE_LINE = 500
_IMAGE = "chart.png"
_SECOND_IMAGE = "ramps.png"


class Composer:
    """Composes mails. `templates` is the operator's folder, whose files replace the shipped ones.

    Without a `signer` mails carry no links. `checkins` offers the one-tap answers and the athlete's
    page, which need the web face; `reply_to` is only told of here, the header is the mailer's.
    """

    def __init__(
        self,
        *,
        signer: Signer | None = None,
        templates: Path | None = None,
        reply_to: str | None = None,
        checkins: bool = False,
        language: str = "en",
    ) -> None:
        self._signer = signer
        self._shelf = Shelf(templates)
        if language not in self._shelf.languages:
            there = ", ".join(self._shelf.languages)
            raise ValueError(f"mails can't speak {language!r}; there is: {there}")
        self._easel = Easel(self._shelf.markup, SHIPPED)
        self._reply_to = reply_to
        self._checkins = checkins
        self._language = language
        self._inliner: Any = None

    @property
    def broken(self) -> tuple[str, ...]:
        """The operator's templates that were put aside, each with its place and reason."""
        return self._shelf.broken

    def check(self) -> tuple[str, ...]:
        """Try every template of the operator on made-up mails; the broken ones, as `broken`."""
        self._shelf.try_each(self._compose_samples)
        return self.broken

    def alert(self, facts: AlertFacts) -> Email:
        """The mail about one finding."""
        words = self._words(facts.athlete)
        context = alert.context(facts, today=_today(facts.now, facts.athlete))
        drawn, context["chart_alt"] = alert.picture(facts, words)
        images = [(_IMAGE, drawn)]
        context["ramps_alt"] = ""
        if both := alert.ramps(facts.verdict.season, words):
            images.append((_SECOND_IMAGE, both[0]))
            context["ramps_alt"] = both[1]
        context |= _routine(facts.prescription)
        context["areas"] = [area for area in facts.athlete.pain if area in words.area_names]
        return self._email(
            "alert",
            facts.athlete,
            context,
            images=images,
            headers=_thread(facts.reply_to_id),
            links=self._web_links(facts.athlete, facts.now, felt_on=facts.finding.day),
        )

    def weekly(self, facts: WeeklyFacts) -> Email:
        """The summary of one week."""
        words = self._words(facts.athlete)
        today = _today(facts.now, facts.athlete)
        context = weekly.context(facts, today=today)
        context["rows"] = weekly.rows(facts, words)
        drawn = weekly.picture(facts, words, today=today)
        context["chart_alt"] = drawn[1] if drawn else ""
        images = [(_IMAGE, drawn[0])] if drawn else []
        context |= _routine(facts.prescription)
        return self._email(
            "weekly",
            facts.athlete,
            context,
            images=images,
            links=self._web_links(facts.athlete, facts.now),
        )

    def reconnect(self, facts: ReconnectFacts) -> Email:
        """The mail that asks to connect a source again."""
        source = clean(facts.source).capitalize()
        # A key is given on the athlete's page, a consent at the source itself.
        by_key = facts.source == "garmin"
        links = {}
        if self._signer is not None and (self._checkins or not by_key):
            purpose = "athlete" if by_key else "connect"
            links["connect"] = self._signer.sign(
                purpose, {"athlete": facts.athlete.id}, now=facts.now
            )
        context = {"source": source, "by_key": by_key}
        return self._email("reconnect", facts.athlete, context, links=links)

    def notice(self, facts: NoticeFacts) -> Email:
        """The mail to the operator."""
        context = {
            "what": clean(facts.what, longest=_NOTICE_LINE),
            "lines": [clean(line, longest=_NOTICE_LINE) for line in facts.lines],
        }
        return self._email("notice", None, context, recipient=facts.recipient)

    def _email(
        self,
        kind: MailKind,
        athlete: Athlete | None,
        context: dict[str, Any],
        *,
        recipient: str = "",
        images: list[tuple[str, Picture]] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        links: Mapping[str, Any] | None = None,
    ) -> Email:
        unsubscribe = self._unsubscribe_link(kind, athlete)
        offered = {"unsubscribe": unsubscribe, "checkin": {}, "connect": "", "page": ""}
        offered |= links or {}
        context |= {
            "kind": kind,
            "name": clean(athlete.name) if athlete else "",
            "links": offered,
            "reply_to": self._reply_to,
            "given": given(athlete.units, athlete.clock) if athlete else given(),
            "weekly_hour": athlete.weekly if athlete and kind == "weekly" else None,
        }
        subject, text, html = self._shelf.render(kind, context, language=self._language)
        return Email(
            kind=kind,
            recipient=athlete.email if athlete else recipient,
            subject=clean(subject, longest=200),
            text=fold(text),
            html=self._inlined(html),
            images=tuple((name, self._easel.png(drawn)) for name, drawn in images or ()),
            extra_headers=(*headers, *_unsubscribe_headers(unsubscribe)),
        )

    def _words(self, athlete: Athlete) -> Any:
        """The catalogue as text, for what a picture says."""
        return self._shelf.words("text", self._language, given(athlete.units, athlete.clock))

    def _unsubscribe_link(self, kind: MailKind, athlete: Athlete | None) -> str:
        if self._signer is None or athlete is None:
            return ""
        return self._signer.sign("unsubscribe", {"athlete": athlete.id, "kind": kind})

    def _web_links(
        self, athlete: Athlete, now: datetime, *, felt_on: date | None = None
    ) -> dict[str, Any]:
        """What the web face offers: the athlete's page, and the answers of how a day felt."""
        if self._signer is None or not self._checkins:
            return {}
        links: dict[str, Any] = {
            "page": self._signer.sign("athlete", {"athlete": athlete.id}, now=now)
        }
        if felt_on is not None:
            links["checkin"] = {
                answer: self._signer.sign(
                    "checkin",
                    {"athlete": athlete.id, "on": felt_on.isoformat(), "feels": answer},
                    now=now,
                )
                for answer in _CHECKIN_ANSWERS
            }
        return links

    def _inlined(self, html: str) -> str:
        if self._inliner is None:
            import css_inline

            self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
        return str(self._inliner.inline(html))

    def _compose_samples(self) -> None:
        for facts in samples.alerts():
            self.alert(facts)
        for week in samples.weeklies():
            self.weekly(week)
        for lost in samples.reconnects():
            self.reconnect(lost)
        self.notice(samples.notice())


def _today(now: datetime, athlete: Athlete) -> date:
    return now.astimezone(ZoneInfo(athlete.timezone)).date()


def _routine(prescription: Prescription) -> dict[str, Any]:
    """The steps by time of day; each says whether it was shown before in the same mail."""
    lists = {
        "before": prescription.before,
        "after": prescription.after,
        "through the day": prescription.through_the_day,
    }
    seen: set[str] = set()
    groups = []
    for when, steps in lists.items():
        shown = [(step, step.key not in seen) for step in steps]
        seen |= {step.key for step in steps}
        if shown:
            groups.append((when, shown))
    return {"groups": groups, "not_now": prescription.not_now}


def _thread(first_id: str | None) -> tuple[tuple[str, str], ...]:
    if not first_id:
        return ()
    return (("In-Reply-To", first_id), ("References", first_id))


def _unsubscribe_headers(address: str) -> tuple[tuple[str, str], ...]:
    """RFC 8058. It asks for https; over http a mail provider ignores the second header."""
    if not address:
        return ()
    return (
        ("List-Unsubscribe", f"<{address}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )
