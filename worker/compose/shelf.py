"""The shelf of templates: the shipped ones, and the operator's laid over them one by one.

The operator's run in a sandbox that changes nothing, and a name that isn't there is an error, not
an empty place. A template of theirs that breaks is put aside for the shipped one and reported;
a mail goes out all the same.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from worker.compose import words

SHIPPED = Path(__file__).parent.parent / "templates"
_PARTS = ("subject.txt", "body.txt", "body.html")
_TEXT_KINDS = frozenset({".txt", ".html", ".jinja", ".css", ".svg"})


class Shelf:
    """Templates by name, in two readings: as text and as HTML, where everything is escaped."""

    def __init__(self, override: Path | None = None) -> None:
        self.broken: tuple[str, ...] = ()
        self._own = {} if override is None else dict(_read(override))
        self._refuse_strangers()
        self._load()

    @property
    def markup(self) -> Environment:
        """The environment for HTML and SVG."""
        return self._markup

    def render(self, mail: str, context: Mapping[str, Any], *, language: str) -> tuple[str, ...]:
        """Subject, text and HTML of a mail; if an own template breaks, those of the shipped."""
        try:
            return self._render(mail, context, language=language)
        except Exception as error:
            if not self._own:
                raise
            self._put_aside(self._suspects(mail, language), error)
            return self._render(mail, context, language=language)

    def try_each(self, render_all: Callable[[], object]) -> None:
        """Try the operator's templates one at a time, so that one mistake costs one template."""
        everything = self._own
        good: dict[str, str] = {}
        for name, source in everything.items():
            self._own = {name: source}
            self._load()
            render_all()
            good |= self._own  # empty by now if it broke
        self._own = good
        self._load()

    def words(
        self, reading: Literal["text", "html"], language: str, given: Mapping[str, Any]
    ) -> Any:
        """The catalogue of a language, ready to speak with these units."""
        environment = self._text if reading == "text" else self._markup
        return environment.get_template(f"words/{language}.jinja").make_module(dict(given))

    @property
    def languages(self) -> list[str]:
        """The languages that there is a catalogue for."""
        names = [path.name for path in (SHIPPED / "words").iterdir()]
        names += [name.removeprefix("words/") for name in self._own if name.startswith("words/")]
        return sorted({name.removesuffix(".jinja") for name in names})

    def _render(self, mail: str, context: Mapping[str, Any], *, language: str) -> tuple[str, ...]:
        rendered = []
        for part in _PARTS:
            is_html = part.endswith("html")
            environment = self._markup if is_html else self._text
            speech = self.words("html" if is_html else "text", language, context["given"])
            template = environment.get_template(f"{mail}/{part}")
            rendered.append(template.render(context, words=speech, language=language))
        return tuple(rendered)

    def _load(self) -> None:
        own = FunctionLoader(self._own.get)
        loader = ChoiceLoader([own, FileSystemLoader(SHIPPED)])
        self._text = _environment(loader, autoescape=False, strong=str)
        self._markup = _environment(loader, autoescape=True, strong=_strong)

    def _suspects(self, mail: str, language: str) -> list[str]:
        """The own templates that took part in this mail."""
        parts = {f"{mail}/{part}" for part in _PARTS}
        shared = {name for name in self._own if "/" not in name} | {f"words/{language}.jinja"}
        return [name for name in self._own if name in parts | shared]

    def _put_aside(self, names: list[str], error: Exception) -> None:
        reason = words.clean(str(error) or type(error).__name__, longest=200)
        line = getattr(error, "lineno", None)
        place = f" line {line}" if line else ""
        self.broken += tuple(f"{name}{place}: {reason}" for name in names)
        self._own = {name: text for name, text in self._own.items() if name not in names}
        self._load()

    def _refuse_strangers(self) -> None:
        known = [name for name in self._own if name.startswith("words/")]
        for name in [name for name in self._own if name not in known]:
            if (SHIPPED / name).is_file():
                continue
            del self._own[name]
            self.broken += (f"{name}: no template of this name is used",)


def _read(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TEXT_KINDS and path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_text("utf-8", errors="replace")


def _environment(
    loader: ChoiceLoader, *, autoescape: bool, strong: Callable[[str], str]
) -> Environment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "tenths": words.tenths,
        "tenths_down": words.tenths_down,
        "ratio_digits": words.ratio_digits,
        "strong": strong,
        "gap": words.GAP,
    }
    return environment


def _strong(text: str) -> Markup:
    return Markup("<strong>{}</strong>").format(escape(text))
