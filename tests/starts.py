"""What a test starts, found in its code: `process`, `browser` or `postgres`.

A test starts a process if its own body, its fixtures or a function of the tests that it names uses
`subprocess`; so no list is kept by hand. A test's own file reader is a process too; the shared one
(`simulators/shared_reader.py`) isn't counted.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from worker.sources.formats.child import Reader

_OURS = ("tests", "bench", "simulators")
_STARTERS = {"subprocess": "process", "multiprocessing": "process", "playwright": "browser"}
_CHILD_STARTERS = (Reader,)
_FIXTURES = {"postgres_server": "postgres", "postgres_url": "postgres"}


def started_by(item: pytest.Function) -> set[str]:
    """The names of this test's marks."""
    fixtures = item._fixtureinfo.name2fixturedefs
    found = {_FIXTURES[name] for name in fixtures if name in _FIXTURES}
    found |= {"postgres" for value in _parameters(item).values() if value == "postgresql"}
    functions = [item.function, *(one.func for defs in fixtures.values() for one in defs)]
    return found | {mark for function in functions for mark in _marks_of(function)}


def _parameters(item: pytest.Function) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


_known: dict[Callable[..., Any], set[str]] = {}


def _marks_of(function: Callable[..., Any]) -> set[str]:
    """The marks reached from a function through the names it uses, in modules of the tests."""
    if function in _known:
        return _known[function]
    marks: set[str] = set()
    seen: set[object] = set()
    waiting: list[Any] = [function]
    while waiting:
        for found in _named_in(inspect.unwrap(waiting.pop())):
            room = _room_of(found)
            if room in _STARTERS:
                marks.add(_STARTERS[room])
            elif _is_child_starter(found):
                marks.add("process")
            elif room in _OURS and id(found) not in seen:
                seen.add(id(found))
                waiting += _functions_of(found)
    _known[function] = marks
    return marks


def _is_child_starter(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, _CHILD_STARTERS)


def _room_of(found: object) -> str:
    """The top-level package of an object."""
    name = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", "")
    return str(name).partition(".")[0]


def _functions_of(found: object) -> Iterator[FunctionType]:
    if isinstance(found, FunctionType):
        yield found
    elif isinstance(found, type):
        for member in vars(found).values():
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(inner, FunctionType):
                yield inner


def _named_in(function: Any) -> Iterator[object]:
    """The objects named in a function's code: globals, and members of our modules."""
    if not isinstance(function, FunctionType):
        return
    for name in _names(function.__code__):
        found = function.__globals__.get(name, sys.modules.get(name))
        if found is None:
            continue
        yield found
        if isinstance(found, ModuleType) and _room_of(found) in _OURS:
            for member in _names(function.__code__):
                if hasattr(found, member):
                    yield getattr(found, member)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
