"""Drops root's rights: file modes don't keep root out, and the tests may run as root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NOBODY = 65534


@contextmanager
def nobody() -> Iterator[None]:
    """Run the block as another user than root."""
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
