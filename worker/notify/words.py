"""The sentences of one language for templates, and the choice of a browser's language.

`TemplateLoader.words` makes a `Catalogue` from what the files of `templates/words/` define.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import cache
from typing import Any

from markupsafe import Markup

GAP = "\u00a0"
"""The non-breaking space between a number and its unit. In plain text it becomes a space."""

_MOST_ASKED = 20
_SETTING = re.compile(r"\s*\([^()]*\b[a-z_0-9]+ = [^)]*\)")
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_KINDS = {"day": r"\d{4}-\d{2}-\d{2}", "n": r"\d+", "x": r".*?"}


class Catalogue:
    """The sentences of one language as attributes, for one reader.

    A sentence with figures is a function of them; others are texts or lists. Names that the
    language lacks are taken from `fallback`, which is called only then.
    """

    def __init__(
        self, sentences: Mapping[str, Any], fallback: "Callable[[], Catalogue] | None" = None
    ) -> None:
        vars(self).update(sentences)
        self._fallback = fallback

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._fallback is None:
            raise AttributeError(name)
        return getattr(self._fallback(), name)

    def reason(self, reason: str) -> str:
        """Translate an English reason from `worker.domain` or a service, without its setting.

        The catalogue's `reasons` map a pattern such as "the run was {n} days ago" to "der Lauf
        war vor {n:days_dative}", where `days_dative` is a sentence that takes the number. Reasons
        that aren't listed are passed to `unknown_reason` as they are.
        """
        told = " ".join(_SETTING.sub("", reason).split())
        reasons: Mapping[str, str] = vars(self).get("reasons", {})
        for pattern, sentence in reasons.items():
            if found := _reading(pattern).fullmatch(told):
                return self._filled(sentence, found.groupdict())
        unknown = vars(self).get("unknown_reason")
        return unescaped(unknown(told)) if unknown and told else told

    def sentence(self, reason: str) -> str:
        """The translated reason as a complete sentence."""
        told = self.reason(reason)
        return f"{told[:1].upper()}{told[1:]}{'' if told.endswith(('.', '!', '?')) else '.'}"

    def knows_reason(self, reason: str) -> bool:
        """Whether the catalogue has a translation of this reason."""
        told = " ".join(_SETTING.sub("", reason).split())
        return any(_reading(pattern).fullmatch(told) for pattern in vars(self).get("reasons", {}))

    def _filled(self, sentence: str, figures: Mapping[str, str]) -> str:
        def fill(hole: re.Match[str]) -> str:
            name, macro = hole[1], hole[2]
            figure: Any = figures[name]
            if macro is None:
                return str(figure)
            if name.startswith("day"):
                figure = date.fromisoformat(figure)
            elif name.startswith("n"):
                figure = int(figure)
            if macro == "reason":
                return self.reason(figure)
            return unescaped(vars(self)[macro](figure))

        return _HOLE.sub(fill, sentence)


def unescaped(said: str) -> str:
    """A sentence as plain text, which is escaped again if it is put into a page."""
    return said.unescape() if isinstance(said, Markup) else said


@cache
def _reading(pattern: str) -> re.Pattern[str]:
    """A regular expression for the figures in a reason. A figure's name begins with its kind."""
    read = ""
    for number, part in enumerate(re.split(r"\{(\w+)\}", pattern)):
        if number % 2:
            kind = next(kind for kind in _KINDS if part.startswith(kind))
            read += rf"(?P<{part}>{_KINDS[kind]})"
        else:
            read += re.escape(part)
    return re.compile(read)


def preferred(accept_language: str, known: Collection[str]) -> str | None:
    """The known language that a browser prefers; None if there is none.

    `accept_language` is the header, such as "de-AT,de;q=0.9,en;q=0.5". A language includes its
    regions: a browser that asks for de-AT is given de.
    """
    asked: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:_MOST_ASKED]:
        tag, _, more = part.partition(";")
        weight = more.strip().removeprefix("q=").strip()
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if quality > 0:
            asked.append((-quality, tag.strip().lower()))
    for _, tag in sorted(asked, key=lambda one: one[0]):
        for name in (tag, tag.partition("-")[0]):
            if name in known:
                return name
    return None
