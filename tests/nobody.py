"""Somebody whom a mode can keep out of a folder: the tests may be run by root, whom none does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NOBODY = 65534


@contextmanager
def nobody() -> Iterator[None]:
    """For as long as this lasts we aren't root."""
    if os.geteuid():
        yield
        return
    try:
        os.seteuid(_NOBODY)
    except OSError as error:  # a container whose root may not even do this
        pytest.skip(f"root can't be somebody else here: {error}")
    try:
        yield
    finally:
        os.seteuid(0)
