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

    `renderer` is that of the mails, whose catalogues the pages also use.
    """

    def __init__(self, root: str = "", renderer: Renderer | None = None) -> None:
        self.root = root
        self._given_renderer = renderer

    def show(
        self, template: str, *, locale: Locale, status: int = 200, **context: object
    ) -> HTMLResponse:
        """A response with a page in the language of `locale`."""
        known = {
            "clean": clean,
            "root": self.root,
            "stylesheet": self.stylesheet_path,
            **context,
        }
        page = self._renderer.loader.page(template, known, locale)
        return HTMLResponse(page, status, headers={"content-language": locale.language})

    def locale(self, accept_language: str, athlete: Athlete | None, rules: Rules) -> Locale:
        """A visitor's locale, with the athlete's language, else the browser's.

        If neither is known, it is the operator's. The choice isn't stored.
        """
        renderer = self._renderer
        guess = preferred(accept_language, renderer.loader.languages) or renderer.language
        if athlete is None:
            return Locale(guess)
        known = renderer.locale(athlete, rules)
        return known if athlete.language == known.language else known._replace(language=guess)

    def words(self, locale: Locale) -> Catalogue:
        """The catalogue of sentences."""
        return self._renderer.loader.words("html", locale)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of pages and mails."""
        return self._renderer.loader.languages

    @property
    def language(self) -> str:
        """The operator's language, which is used for athletes who chose none."""
        return self._renderer.language

    @property
    def pictures(self) -> Mapping[str, ExercisePicture]:
        """The pictures of exercises, by the name in `Step.picture`."""
        return self._renderer.pictures

    def svg(self, picture: Picture, *, title: str) -> Markup:
        """A chart as SVG to include in a page."""
        return Markup(self._renderer.loader.svg(picture, title=title))  # noqa: S704  its template escapes

    @cached_property
    def stylesheet(self) -> bytes:
        return (SHIPPED / "web" / "pages.css").read_bytes()

    @cached_property
    def icon(self) -> bytes:
        return (SHIPPED / "web" / "icon.svg").read_bytes()

    @cached_property
    def stylesheet_path(self) -> str:
        """Contains a digest of the content, so that browsers may cache it for ever."""
        return f"/pages.{hashlib.sha256(self.stylesheet).hexdigest()[:12]}.css"

    @cached_property
    def _renderer(self) -> Renderer:
        return self._given_renderer or Renderer()


def chosen(wanted: Sequence[str], known: Sequence[Word]) -> tuple[Word, ...]:
    """The known words that are in `wanted`, in the order of `known`."""
    return tuple(word for word in known if word in wanted)


def own_names(pages: Pages) -> dict[str, str]:
    """The name of each language of the pages in that language."""
    return {name: pages.words(Locale(name)).own_name for name in pages.languages}
