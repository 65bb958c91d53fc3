"""Pages from templates: `templates/web/*.html` in the same sandbox as the mails, in HTML only.

A page is given nouns and numbers; its sentences stand in its template, those it shares with the
mails in the mails' catalogue.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

from markupsafe import Markup
from starlette.responses import HTMLResponse

from worker.compose.chart import Easel, Picture
from worker.compose.shelf import SHIPPED, Shelf
from worker.compose.words import clean, given, plainly
from worker.model import Dial, Units

_LANGUAGE = "en"
Word = TypeVar("Word", bound=str)


class Pages:
    """Templates are read on first need."""

    def __init__(self) -> None:
        self._words: dict[tuple[Units, Dial], Any] = {}

    def show(
        self,
        template: str,
        *,
        status: int = 200,
        units: Units = "km",
        clock: Dial = "24",
        **context: object,
    ) -> HTMLResponse:
        """A page, as an answer."""
        page = self._shelf.markup.get_template(f"web/{template}").render(
            words=self.words(units, clock),
            language=_LANGUAGE,
            clean=clean,
            plainly=plainly,
            stylesheet=self.stylesheet_path,
            **context,
        )
        return HTMLResponse(page, status)

    def words(self, units: Units, clock: Dial = "24") -> Any:
        """The catalogue of sentences, speaking in these units and by this clock."""
        if (units, clock) not in self._words:
            spoken = self._shelf.words("html", _LANGUAGE, given(units, clock))
            self._words[units, clock] = spoken
        return self._words[units, clock]

    def svg(self, picture: Picture, *, title: str) -> Markup:
        """A chart to put into a page."""
        return Markup(self._easel.svg(picture, title=title))  # noqa: S704  its template escapes

    @cached_property
    def stylesheet(self) -> bytes:
        return (SHIPPED / "web" / "face.css").read_bytes()

    @cached_property
    def icon(self) -> bytes:
        return (SHIPPED / "web" / "icon.svg").read_bytes()

    @cached_property
    def stylesheet_path(self) -> str:
        """Named for its content, so that a browser may keep it for good."""
        return f"/face.{hashlib.sha256(self.stylesheet).hexdigest()[:12]}.css"

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf()

    @cached_property
    def _easel(self) -> Easel:
        return Easel(self._shelf.markup, SHIPPED)


def chosen(wanted: Sequence[str], known: Sequence[Word]) -> tuple[Word, ...]:
    """Those of the known words that were wanted, in their usual order."""
    return tuple(word for word in known if word in wanted)
