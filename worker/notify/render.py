"""From a context to a mail: templates, escaped text, pictures and links.

    context  →  TemplateLoader.render  →  subject, text, HTML  →  Renderer.email  →  Email

The operator's templates override the shipped ones. They run in an immutable sandbox, and an
undefined name is an error, not an empty string. If an operator's template fails, the shipped one is
used, the failure is reported, and the mail is still sent. Sentences are in `templates/words/`, one
file for each language, so that the text part, the HTML part and the pages can't differ.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from worker.domain.models import METRES_PER, Athlete, Dial, Email, MailKind, Units
from worker.domain.routine import Step, When, in_language
from worker.domain.rules import FRANDSEN_DAYS, FRANDSEN_OVER, Rules
from worker.domain.shown import JOINERS
from worker.domain.weeks import told_days_after
from worker.links import Signer
from worker.notify.chart import Picture
from worker.notify.pictures import ExercisePicture, shipped_pictures
from worker.notify.png import chart_png
from worker.notify.words import GAP, Catalogue

if TYPE_CHECKING:
    from jinja2 import Environment

SHIPPED = Path(__file__).parent / "templates"
ENGLISH = "en"
"""The default language, which also replaces sentences that another language lacks."""

_CHART = "chart/bars.svg"
SHIPPED_LANGUAGES = tuple(sorted(path.stem for path in (SHIPPED / "words").iterdir()))
_SPACES = re.compile(r"[^\S\u00a0\u202f]+")
_TEXT_KINDS = frozenset({".txt", ".html", ".jinja", ".css", ".svg"})
_CHECKIN_ANSWERS = ("fine", "sore", "hurts")
_LONGEST_NAME = 80
_LINE = 76
_MOST_PICTURE_BYTES = 48_000
"""The most bytes of exercise pictures in one mail; the others are only on the page."""


_NO_LINKS: dict[str, Any] = {
    "checkin": {},
    **dict.fromkeys(("address", "connect", "page", "unsubscribe", "welcome"), ""),
}


MailName = Literal[MailKind, "red_flag", "alert_copy", "welcome", "address", "address_asked"]
"""The name of a mail's templates. A kind of mail may have several."""


class Locale(NamedTuple):
    """What a catalogue needs to know about the reader, and the rules that sentences refer to."""

    language: str = ENGLISH
    unit: Units = "km"
    clock: Dial = "24"
    rules: Rules = Rules()


class TemplateLoader:
    """Templates by name, in two readings: as text and as HTML, where everything is escaped.

    `override` is the operator's folder, whose files replace the shipped ones of the same name; a
    file of words replaces only the sentences that it defines. Of pages, only the words can be
    replaced. `broken` has the operator's templates that failed, each with its place and reason.
    """

    def __init__(self, override: Path | None = None) -> None:
        self.broken: tuple[str, ...] = ()
        self._own: dict[str, str] = {}
        for path in sorted(override.rglob("*")) if override else ():
            if path.suffix not in _TEXT_KINDS or not path.is_file():
                continue
            name = path.relative_to(override or path).as_posix()
            is_mail = (SHIPPED / name).is_file() and not name.startswith("web/")
            if not (name.startswith("words/") or is_mail):
                self.broken += (f"{name}: no template of this name is used",)
                continue
            try:
                self._own[name] = path.read_text("utf-8", errors="replace")
            except OSError as error:
                self.broken += (f"{name}: can't be read: {error.strerror}",)
        self._load()

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a catalogue."""
        return tuple(sorted({*SHIPPED_LANGUAGES, *self.own_languages}))

    @property
    def own_languages(self) -> tuple[str, ...]:
        """The languages for which the operator has a file of words."""
        return tuple(Path(name).stem for name in self._own if name.startswith("words/"))

    def words(self, reading: Literal["text", "html"], locale: Locale) -> Catalogue:
        """The catalogue for a reader with this language, these units and these rules.

        Each sentence is the operator's if they have one, else the shipped one, else English.
        """
        if (reading, locale) in self._words:
            return self._words[reading, locale]
        language = locale.language
        is_shipped = language in SHIPPED_LANGUAGES
        names = [f"shipped/words/{language if is_shipped else ENGLISH}.jinja"]
        if language in self.own_languages:
            names.append(f"words/{language}.jinja")
        said: dict[str, Any] = {}
        for name in names:
            try:
                # The operator's sentences may use the shipped ones.
                base = {} if name.startswith("shipped/") else said
                said = said | self.sentences(reading, locale, name, base=base)
            except Exception as error:  # noqa: BLE001  an operator's template may do anything
                self._put_aside({name}, error)
                return self.words(reading, locale)
        english = locale._replace(language=ENGLISH)
        catalogue = Catalogue(
            said, None if language == ENGLISH else lambda: self.words(reading, english)
        )
        self._words[reading, locale] = catalogue
        return catalogue

    def sentences(
        self,
        reading: Literal["text", "html"],
        locale: Locale,
        name: str,
        *,
        base: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Only the sentences that one file of words defines, by name."""
        given = {
            **base,
            **locale._asdict(),
            "per_unit": METRES_PER[locale.unit],
            "study": FRANDSEN_OVER,
            "study_days": FRANDSEN_DAYS,
        }
        environment = self._text if reading == "text" else self.markup
        module = environment.get_template(name).make_module(given)
        return {name: value for name, value in vars(module).items() if not name.startswith("_")}

    def render(self, mail: str, context: Mapping[str, Any], locale: Locale) -> tuple[str, ...]:
        """Subject, text and HTML of a mail; with the shipped templates if the operator's fail."""
        try:
            plain = dict(context, language=locale.language, words=self.words("text", locale))
            subject = self._text.get_template(f"{mail}/subject.txt").render(plain)
            plain["subject"] = subject
            text = self._text.get_template(f"{mail}/body.txt").render(plain)
            rich = plain | {"words": self.words("html", locale)}
            return subject, text, self.markup.get_template(f"{mail}/body.html").render(rich)
        except Exception as error:  # noqa: BLE001  an operator's template may do anything
            shared = {name for name in self._own if "/" not in name}
            parts = {f"{mail}/subject.txt", f"{mail}/body.txt", f"{mail}/body.html"}
            self._put_aside(shared | parts | {f"words/{locale.language}.jinja"}, error)
            return self.render(mail, context, locale)

    def page(self, template: str, context: Mapping[str, Any], locale: Locale) -> str:
        """A page; with the shipped words if the operator's fail."""
        try:
            known = dict(context, language=locale.language, words=self.words("html", locale))
            return self.markup.get_template(f"web/{template}").render(known)
        except Exception as error:  # noqa: BLE001  an operator's words may do anything
            self._put_aside({f"words/{locale.language}.jinja"}, error)
            return self.page(template, context, locale)

    def svg(self, picture: Picture, *, title: str) -> str:
        """A chart as SVG; `title` is for screen readers."""
        try:
            return self.markup.get_template(_CHART).render(picture=picture, title=title)
        except Exception as error:  # noqa: BLE001  an operator's template may do anything
            self._put_aside({_CHART}, error)
            return self.svg(picture, title=title)

    def compile(self) -> None:
        """Compile every template into the cache, so that later processes don't have to."""
        for environment in (self._text, self.markup):
            for name in environment.list_templates(extensions=[kind[1:] for kind in _TEXT_KINDS]):
                environment.get_template(name)

    def try_each(self, render_all: Callable[[], object]) -> None:
        """Try the operator's templates one at a time, so that a mistake affects only one."""
        everything = self._own
        good: dict[str, str] = {}
        for name, source in everything.items():
            self._own = {name: source}
            self._load()
            render_all()
            good |= self._own  # `_put_aside` has removed it if it failed
        self._own = good
        self._load()

    def _put_aside(self, taking_part: set[str], error: Exception) -> None:
        """Continue without these operator's templates; raises the error if there are none."""
        suspects = taking_part & self._own.keys()
        if not suspects:
            raise error
        reason = clean(str(error) or type(error).__name__, longest=200)
        line = getattr(error, "lineno", None)
        place = f" line {line}" if line else ""
        self.broken += tuple(f"{name}{place}: {reason}" for name in sorted(suspects))
        self._own = {name: text for name, text in self._own.items() if name not in suspects}
        self._load()

    def _load(self) -> None:
        self._words: dict[tuple[str, Locale], Catalogue] = {}
        vars(self).pop("_environments", None)

    @property
    def markup(self) -> "Environment":
        """The environment for HTML and SVG."""
        return self._environments[1]

    @property
    def _text(self) -> "Environment":
        return self._environments[0]

    @cached_property
    def _environments(self) -> "tuple[Environment, Environment]":
        # Imported with the first mail or page: a pass without one doesn't need Jinja.
        from worker.notify.environments import environments

        return environments(self._own, shipped=SHIPPED)


class Renderer:
    """Renders every kind of mail as an `Email`. Nothing here reads a clock.

    `templates` is the operator's folder, see `TemplateLoader`. Without a `signer`, mails have no
    links. `checkins` adds the one-tap answers and the athlete's page, which need the web server.
    `reply_to` is only mentioned in the text; the mailer sets the header. `language` is for athletes
    who chose none. `pictures` are the operator's own pictures of exercises, by name. Raises
    `ValueError` for a language without a catalogue.
    """

    def __init__(
        self,
        *,
        signer: Signer | None = None,
        templates: Path | None = None,
        reply_to: str | None = None,
        checkins: bool = False,
        language: str = ENGLISH,
        pictures: Mapping[str, ExercisePicture] = MappingProxyType({}),
    ) -> None:
        self.pictures = {**shipped_pictures(), **pictures}
        self.loader = TemplateLoader(templates)
        if language not in self.loader.languages:
            raise ValueError(no_such_language(language, self.loader.languages))
        self.signer = signer
        self.checkins = checkins
        self._reply_to = reply_to
        self.language = language
        self._inliner: Any = None

    def locale(self, athlete: Athlete, rules: Rules) -> Locale:
        """The athlete's language and units, with these rules."""
        return Locale(self.known(athlete.language), athlete.units, athlete.clock, rules)

    def known(self, language: str) -> str:
        """The language if it has a catalogue, else the operator's."""
        return language if language in self.loader.languages else self.language

    def email(
        self,
        mail: MailName,
        athlete: Athlete | None,
        context: dict[str, Any],
        *,
        locale: Locale | None = None,
        recipient: str = "",
        images: Sequence[tuple[str, Picture]] = (),
        headers: tuple[tuple[str, str], ...] = (),
        links: Mapping[str, Any] | None = None,
    ) -> Email:
        """Render a mail to the athlete, or to `recipient` if there is no athlete.

        `images` have the names that the HTML part uses, `links` those that the templates use. The
        pictures of `routine` are added if the template shows them. Without a `locale` no sentence
        may refer to rules. Mails to the operator are in English.
        """
        if locale is None:
            locale = self.locale(athlete, Rules()) if athlete else Locale(ENGLISH)
        kind: MailKind = next((one for one in get_args(MailKind) if one == mail), "notice")
        unsubscribe = ""
        if self.signer is not None and athlete is not None:
            # A stranger who got the first mail by mistake doesn't want any other mail.
            stops = "all" if mail == "welcome" else kind
            unsubscribe = self.signer.sign("unsubscribe", athlete, kind=stops)
            # RFC 8058 requires https; over http a mail provider ignores the second header.
            headers += (
                ("List-Unsubscribe", f"<{unsubscribe}>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            )
        context |= {
            "kind": mail,
            "name": clean(athlete.name) if athlete else "",
            "links": _NO_LINKS | {"unsubscribe": unsubscribe} | dict(links or {}),
            "reply_to": self._reply_to if self._reply_to != recipient else None,
            "weekly_hour": athlete.weekly if athlete and kind == "weekly" else None,
            "told_after": told_days_after(athlete) if athlete else None,
        }
        subject, text, html = self.loader.render(mail, context, locale)
        if self._inliner is None:
            import css_inline

            self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
        font = SHIPPED / "chart" / "inter.otf"
        return Email(
            kind=kind,
            recipient=athlete.email if athlete else recipient,
            subject=clean(subject.replace(GAP, " "), longest=200),
            text=fold(text),
            html=str(self._inliner.inline(html)),
            images=(
                *(
                    (name, chart_png(self.loader.svg(picture, title=""), font=font))
                    for name, picture in images
                ),
                *(
                    (one.name, one.content)
                    for one in context.get("pictures", {}).values()
                    if f"cid:{one.name}" in html
                ),
            ),
            extra_headers=headers,
        )

    def routine(self, steps: Sequence[Step], locale: Locale) -> dict[str, Any]:
        """A routine for templates: `routine_context`, and `pictures` by step."""
        words = self.loader.words("text", locale)
        context = routine_context(steps, locale.language)
        shown: dict[str, MailPicture] = {}
        left = _MOST_PICTURE_BYTES
        for step in steps:
            picture = self.pictures.get(step.picture)
            if picture is not None and picture.for_mails and len(picture.content) <= left:
                left -= len(picture.content)
                name = f"exercise-{len(shown) + 1}{picture.kind}"
                shown[step.key] = MailPicture(name, picture.content, words.picture_of(step))
        return context | {"pictures": shown}

    def web_links(
        self, athlete: Athlete, now: datetime, *, felt_on: date | None = None
    ) -> dict[str, Any]:
        """Links to the web server: the athlete's page, and one for each answer of a check-in."""
        if self.signer is None or not self.checkins:
            return {}
        links: dict[str, Any] = {"page": self.signer.sign("athlete", athlete, now=now)}
        if felt_on is not None:
            links["checkin"] = {
                answer: self.signer.sign(
                    "checkin", athlete, now=now, on=felt_on.isoformat(), feels=answer
                )
                for answer in _CHECKIN_ANSWERS
            }
        return links


class MailPicture(NamedTuple):
    """A picture of an exercise in a mail: its name there, its bytes, and its alternative text."""

    name: str
    content: bytes
    alt: str


def no_such_language(language: str, known: Sequence[str]) -> str:
    """The error message for a language without a catalogue."""
    return f"there are no words in the language {language!r}; there are: {', '.join(known)}"


def routine_context(steps: Sequence[Step], language: str) -> dict[str, Any]:
    """The steps by time of day, each with whether it is mentioned for the first time.

    `not_now` has the steps with a `not_when`, which says when not to do them.
    """
    steps = [in_language(step, language) for step in steps]
    seen: set[str] = set()
    groups = []
    for when in get_args(When):
        shown = [(step, step.key not in seen) for step in steps if when in step.when]
        seen |= {step.key for step, _ in shown}
        if shown:
            groups.append((when, shown))
    return {"groups": groups, "not_now": [step for step in steps if step.not_when]}


def standalone(email: Email) -> str:
    """A mail as a page: its HTML with embedded pictures. It loads nothing from the network."""
    html = email.html
    for name, content in email.images:
        kind = "jpeg" if name.endswith(".jpg") else "png"
        data = f"data:image/{kind};base64,{b64encode(content).decode()}"
        html = html.replace(f'"cid:{name}"', f'"{data}"')
    return html


# Text for mails


def clean(text: str, *, longest: int = _LONGEST_NAME) -> str:
    """Text from outside on one line, without control characters and direction marks.

    Non-breaking spaces are kept, because French needs them before punctuation.
    """
    safe = "".join(
        mark if unicodedata.category(mark)[0] != "C" or mark in JOINERS else " "
        for mark in text[: longest * 4]
    )
    line = _SPACES.sub(" ", safe).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def masked(address: str) -> str:
    """The address with only the first letter of its local part, such as "a…@example.org"."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}"


def fold(text: str) -> str:
    """Wrap lines at spaces to at most 76 characters if possible; list items are indented."""
    folded: list[str] = []
    for line in text.splitlines():
        rest = line.rstrip()
        if not rest and folded and not folded[-1]:
            continue  # never two empty lines in a row
        indent = "  " if rest.startswith("- ") else ""
        while len(rest) > _LINE:
            at = rest.rfind(" ", len(indent) + 1, _LINE + 1)
            if at < 0:
                at = rest.find(" ", _LINE)
            if at < 0:
                break
            folded.append(rest[:at].rstrip())
            rest = indent + rest[at:].lstrip()
        folded.append(rest)
    return "\n".join(folded).strip().replace(GAP, " ") + "\n"
