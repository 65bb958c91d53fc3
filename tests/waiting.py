"""Waits for a state, not for a time."""

import time
from collections.abc import Callable

LOOKS_EVERY_S = 0.02


def wait_until(
    happened: Callable[[], object], *, within_s: float = 30, why: Callable[[], str] = str
) -> float:
    """Return once `happened()` is true, with the seconds that took.

    Raises AssertionError with the words of `why` where it isn't within `within_s`.
    """
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < within_s, why()
        time.sleep(LOOKS_EVERY_S)
    return time.monotonic() - began
