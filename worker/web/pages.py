"""Pages from templates: `templates/web/*.html` by the same loader as the mails, in HTML only.

A page is given nouns and numbers; its sentences stand in its template, those it shares with the
mails in the mails' catalogue.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

from markupsafe import Markup
from starlette.responses import HTMLResponse

from worker.domain.models import Dial, Units
from worker.domain.rules import Rules
from worker.notify.chart import Picture
from worker.notify.render import SHIPPED, Locale, TemplateLoader, clean, plainly

_LANGUAGE = "en"
Word = TypeVar("Word", bound=str)


class Pages:
    """Renders pages; templates are read on first use. Their addresses begin with `root`."""

    def __init__(self, root: str = "") -> None:
        self.root = root

    def show(
        self,
        template: str,
        *,
        status: int = 200,
        units: Units = "km",
        clock: Dial = "24",
        rules: Rules | None = None,
        **context: object,
    ) -> HTMLResponse:
        """A page, as an answer."""
        page = self._loader.markup.get_template(f"web/{template}").render(
            words=self.words(units, clock, rules),
            language=_LANGUAGE,
            clean=clean,
            plainly=plainly,
            root=self.root,
            stylesheet=self.stylesheet_path,
            **context,
        )
        return HTMLResponse(page, status)

    def words(self, units: Units, clock: Dial = "24", rules: Rules | None = None) -> Any:
        """The catalogue of sentences, speaking in these units, by this clock and of these rules."""
        return self._loader.words("html", Locale(_LANGUAGE, units, clock, rules or Rules()))

    def svg(self, picture: Picture, *, title: str) -> Markup:
        """A chart to put into a page."""
        return Markup(self._loader.svg(picture, title=title))  # noqa: S704  its template escapes

    @cached_property
    def stylesheet(self) -> bytes:
        return (SHIPPED / "web" / "pages.css").read_bytes()

    @cached_property
    def icon(self) -> bytes:
        return (SHIPPED / "web" / "icon.svg").read_bytes()

    @cached_property
    def stylesheet_path(self) -> str:
        """Named for its content, so that a browser may cache it for good."""
        return f"/pages.{hashlib.sha256(self.stylesheet).hexdigest()[:12]}.css"

    @cached_property
    def _loader(self) -> TemplateLoader:
        return TemplateLoader()


def chosen(wanted: Sequence[str], known: Sequence[Word]) -> tuple[Word, ...]:
    """Those of the known words that were wanted, in their usual order."""
    return tuple(word for word in known if word in wanted)
