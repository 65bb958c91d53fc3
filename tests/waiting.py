"""Waits for a condition instead of a fixed time."""

import time
from collections.abc import Callable

LOOKS_EVERY_S = 0.02


def wait_until(
    happened: Callable[[], object], *, within_s: float = 30, why: Callable[[], str] = str
) -> float:
    """Return the seconds that it took until `happened()` was true.

    Raises AssertionError with the message of `why` if it isn't within `within_s`.
    """
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < within_s, why()
        time.sleep(LOOKS_EVERY_S)
    return time.monotonic() - began
