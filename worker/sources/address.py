"""Addresses of services: what may be one, and what stays on this machine. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(address: str) -> bool:
    """True where an address stays on this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(address: str, *, name: str, given_away: str) -> None:
    """Raises ValueError, with the reason, for an address that can't be the service's.

    `given_away` is what plain http would show to everybody on the way.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"an address of {name} begins with https://; this is {address!r}")
    if parts.scheme == "http" and not is_loopback(address):
        raise ValueError(
            f"{address!r} would send {given_away} in the clear; plain http is only for this machine"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"an address of {name} is a host and perhaps a path; this is {address!r}")
