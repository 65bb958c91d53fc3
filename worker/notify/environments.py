"""Jinja environments for mails and pages: what templates receive, and how their output is escaped.

Shipped templates run without a sandbox, and their compiled form is cached. If the operator has
templates, all templates run in an immutable sandbox. An undefined name is an error.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
)
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from worker import __version__
from worker.domain.shown import printable, tenths, tenths_down
from worker.notify.words import GAP

_DIGEST = sha256().digest_size


class CompiledTemplates(BytecodeCache):
    """Caches compiled shipped templates in the `__pycache__` of this package.

    Compiling takes half a second in each process that composes a mail. If nothing can be written,
    each process compiles them itself. A truncated file is replaced.
    """

    def __init__(self, reading: str, folder: Path = Path(__file__).parent / "__pycache__") -> None:
        self._folder = folder
        self._reading = f"{reading}-{__version__}"

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            kept = self._file(bucket).read_bytes()
            digest, code = kept[:_DIGEST], kept[_DIGEST:]
            if sha256(code).digest() == digest:
                bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        code, file = bucket.bytecode_to_string(), self._file(bucket)
        part = file.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            part.write_bytes(sha256(code).digest() + code)
            part.chmod(0o644)
            part.replace(file)

    def _file(self, bucket: Bucket) -> Path:
        return self._folder / f"{self._reading}-{bucket.key}.jinja"


class _PlainCalls(Context):
    """Calls functions from templates directly.

    Jinja first checks whether each callable wants the context. None of ours does, and a mail makes
    four hundred calls.
    """

    def call(self, called: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        # Loops and blocks add these for callables that want the context.
        named.pop("_loop_vars", None)
        named.pop("_block_vars", None)
        return called(*given, **named)


class _ShippedEnvironment(Environment):
    """For trusted templates."""

    context_class = _PlainCalls


def environments(own: Mapping[str, str], *, shipped: Path) -> tuple[Environment, Environment]:
    """The environment for text, and the one for HTML and SVG, where everything is escaped.

    `own` has the operator's templates by name, which override those in the folder `shipped`.
    """
    files = FileSystemLoader(shipped)
    loader = ChoiceLoader([DictLoader(own), PrefixLoader({"shipped": files}), files])
    # The sandbox is only for the operator's templates; it takes a third of a mail's time.
    kind = ImmutableSandboxedEnvironment if own else _ShippedEnvironment
    text, markup = (
        kind(
            loader=loader,
            undefined=StrictUndefined,
            autoescape=is_markup,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=None if own else CompiledTemplates(reading),
        )
        for reading, is_markup in (("text", False), ("html", True))
    )
    for environment, mark in ((text, str), (markup, _strong)):
        environment.globals |= {
            "tenths": tenths,
            "tenths_down": tenths_down,
            "ratio_digits": ratio_digits,
            "strong": mark,
            "gap": GAP,
        }
    return text, markup


def _strong(text: str) -> Markup:
    return Markup("<strong>{}</strong>").format(escape(text))


def _shown(value: Any) -> Any:
    """Cleans every value that a template outputs. Markup is made of values cleaned before."""
    if type(value) is not str or value.isprintable():
        return value
    return printable(value, but="\n\t")


def ratio_digits(ratio: float) -> str:
    """One decimal, or two if one would hide by how much a limit was exceeded."""
    return f"{ratio:.2f}" if ratio < 1.195 else tenths(ratio)  # noqa: PLR2004 - written as 1.2 from there
