"""Pages from templates: `templates/web/*.html`, by the same loader as the mails, in HTML only.

Pages receive data; their sentences are in the catalogue of the mails.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from markupsafe import Markup
from starlette.responses import HTMLResponse

from worker.domain.models import Athlete
from worker.domain.rules import Rules
from worker.notify.chart import Picture
from worker.notify.pictures import ExercisePicture
from worker.notify.render import SHIPPED, Locale, Renderer, clean
from worker.notify.words import Catalogue, preferred

Word = TypeVar("Word", bound=str)


class Pages:
    """Renders pages; templates are read on first use. Their addresses begin with `root`.

    `renderer` is that of the mails, whose words the pages speak too.
    """

    def __init__(self, root: str = "", renderer: Renderer | None = None) -> None:
        self.root = root
        self._given_renderer = renderer

    def show(
        self, template: str, *, locale: Locale, status: int = 200, **context: object
    ) -> HTMLResponse:
        """A page in the language of `locale`, as an answer."""
        known = {
            "clean": clean,
            "root": self.root,
            "stylesheet": self.stylesheet_path,
            **context,
        }
        page = self._renderer.loader.page(template, known, locale)
        return HTMLResponse(page, status, headers={"content-language": locale.language})

    def locale(
        self, accept_language: str, athlete: Athlete | None = None, rules: Rules | None = None
    ) -> Locale:
        """How a visitor is spoken to: as the athlete chose, else in a language of the browser's.

        Where neither is known it's the operator's. Nothing of it is stored.
        """
        renderer = self._renderer
        guess = preferred(accept_language, renderer.loader.languages) or renderer.language
        if athlete is None:
            return Locale(guess)
        known = renderer.locale(athlete, rules or Rules())
        return known if athlete.language == known.language else known._replace(language=guess)

    def words(self, locale: Locale) -> Catalogue:
        """The catalogue of sentences."""
        return self._renderer.loader.words("html", locale)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that pages and mails can speak."""
        return self._renderer.loader.languages

    @property
    def language(self) -> str:
        """The operator's, in which an athlete's mails are who chose none."""
        return self._renderer.language

    @property
    def pictures(self) -> Mapping[str, ExercisePicture]:
        """The pictures of exercises, by the name that a step has for its own."""
        return self._renderer.pictures

    def svg(self, picture: Picture, *, title: str) -> Markup:
        """A chart to put into a page."""
        return Markup(self._renderer.loader.svg(picture, title=title))  # noqa: S704  its template escapes

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
    def _renderer(self) -> Renderer:
        return self._given_renderer or Renderer()


def chosen(wanted: Sequence[str], known: Sequence[Word]) -> tuple[Word, ...]:
    """Those of the known words that were wanted, in their usual order."""
    return tuple(word for word in known if word in wanted)


def own_names(pages: Pages) -> dict[str, str]:
    """What each language that the pages speak is called in itself."""
    return {name: pages.words(Locale(name)).own_name for name in pages.languages}
