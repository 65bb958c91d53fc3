"""Checks an athlete's name and mail address, wherever they are entered."""

import re

LONGEST_NAME = 80
LONGEST_ADDRESS = 254
"""The longest recipient that a server accepts (RFC 5321), without the angle brackets."""

_LONGEST_LOCAL = 64
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")


class ContactError(ValueError):
    """A name or an address that can't be used; the text says why, without naming an option."""


def checked_name(text: str) -> str:
    """The name without spaces around it. Raises `ContactError`."""
    name = text.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ContactError(f"a name has 1 to {LONGEST_NAME} characters that can be shown")
    if "/" in name or "\\" in name or name.startswith("."):
        raise ContactError("a name is a folder's too, so no slash, and no dot in front")
    return name


def checked_address(text: str) -> str:
    """The mail address without spaces around it. Raises `ContactError`.

    It must be a single address, without characters that could end a header or begin another
    recipient. Whether it exists isn't checked.
    """
    address = text.strip()
    local, _, domain = address.rpartition("@")
    is_sound = (
        _ADDRESS.fullmatch(address)
        and address.isprintable()
        and len(address) <= LONGEST_ADDRESS
        and len(local) <= _LONGEST_LOCAL
        and all((*local.split("."), *domain.split(".")))  # no dot at an end, no two in a row
    )
    if not is_sound:
        raise ContactError(f"“{address[:60]}” is not an address such as anna@example.org")
    return address
