"""Jinja environments for mails and pages: what templates receive, and how their output is escaped.

The shipped templates run directly, and stay compiled. As soon as the operator has templates, all
of them run in an immutable sandbox. An undefined name is an error.
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
    """Shipped templates in compiled form, stored beside this module in `__pycache__`.

    Compiling takes half a second, which every process that composes a mail would spend. If
    nothing can be written, each process compiles them itself. A truncated file is replaced.
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
    """Calls what a template names as it is.

    Jinja first asks of each callable whether it wants the context. None here does, and a mail makes
    four hundred calls.
    """

    def call(self, called: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        # What loops and blocks add is for those that want the context.
        named.pop("_loop_vars", None)
        named.pop("_block_vars", None)
        return called(*given, **named)


class _ShippedEnvironment(Environment):
    """For templates that need no guard."""

    context_class = _PlainCalls


def environments(own: Mapping[str, str], *, shipped: Path) -> tuple[Environment, Environment]:
    """For text, and for HTML and SVG, where everything is escaped.

    `own` are the operator's templates by name, which go before those in the folder `shipped`.
    """
    files = FileSystemLoader(shipped)
    loader = ChoiceLoader([DictLoader(own), PrefixLoader({"shipped": files}), files])
    # The sandbox guards what the operator wrote; it takes a third of a mail's time.
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
    """Prepares every value that a template outputs; markup is made of values that passed
    through here.
    """
    if type(value) is not str or value.isprintable():
        return value
    return printable(value, but="\n\t")


def ratio_digits(ratio: float) -> str:
    """One decimal, two where one would hide by how much a rule was passed."""
    return f"{ratio:.2f}" if ratio < 1.195 else tenths(ratio)  # noqa: PLR2004 - written as 1.2 from there
