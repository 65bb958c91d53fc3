# ruff: noqa: INP001  a script beside the package, not a part of it
"""Put pip into this virtual environment from the package index, without pip or ensurepip.

For Debian without python3-venv. Reads the index from where pip reads it (PIP_INDEX_URL, else the
configuration files, else pypi.org; further ones from PIP_EXTRA_INDEX_URL), takes the newest pip
there, checks it against the index's own hash, and lets it install itself.
"""

import base64
import configparser
import hashlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import Request, urlopen

WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")
TIMEOUT_S = 60


class _Links(HTMLParser):
    """The links on a PEP 503 page whose files this Python may use."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "a" and "data-yanked" not in attributes and attributes.get("href"):
            self.found.append(str(attributes["href"]))


def main() -> int:
    """Try each index in turn; if all fail, print one line with the reasons."""
    reasons = []
    for index in indexes():
        try:
            address = newest(index)
            install(address)
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            reasons.append(f"{without_login(index)}: {reason}")
        else:
            return 0
    sys.stderr.write(
        f"Can't fetch pip ({'; '.join(reasons)}): check the network, or install python3-venv\n"
    )
    return 1


def indexes() -> Iterator[str]:
    """The indexes that pip would use, in its order."""
    settings = configparser.ConfigParser(interpolation=None)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    files = ["/etc/pip.conf", "~/.pip/pip.conf", str(home / "pip/pip.conf"),
             "~/Library/Application Support/pip/pip.conf",
             os.environ.get("PIP_CONFIG_FILE", "")]  # fmt: skip
    settings.read([str(Path(name).expanduser()) for name in files if name])
    configured = dict(settings["global"]) if settings.has_section("global") else {}
    main_index = os.environ.get("PIP_INDEX_URL") or configured.get("index-url", "")
    further = os.environ.get("PIP_EXTRA_INDEX_URL") or configured.get("extra-index-url", "")
    yield main_index or "https://pypi.org/simple"
    yield from further.split()


def newest(index: str) -> str:
    """The address of the newest released pip in `index`, with its hash as the fragment."""
    page_address = index.rstrip("/") + "/pip/"
    links = _Links()
    links.feed(fetch(page_address).decode())
    wheels = {}
    for link in links.found:
        wheel = WHEEL.fullmatch(unquote(Path(urlsplit(link).path).name))
        if wheel:
            wheels[tuple(int(part) for part in wheel[1].split("."))] = urljoin(page_address, link)
    if not wheels:
        raise ValueError("it has no pip")
    return wheels[max(wheels)]


def install(address: str) -> None:
    """Download the wheel at `address`, check its hash and run it on itself."""
    wheel = fetch(address.partition("#")[0])
    expected = re.search(r"#sha256=([0-9a-f]{64})", address)
    if expected and hashlib.sha256(wheel).hexdigest() != expected[1]:
        raise ValueError("its pip has another hash than it says")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / unquote(Path(urlsplit(address).path).name)
        file.write_bytes(wheel)
        subprocess.run(  # noqa: S603  our own interpreter and the file just checked
            [sys.executable, str(file / "pip"), "install", "--quiet", "--no-index",
             "--disable-pip-version-check", str(file)],
            check=True,
        )  # fmt: skip


def fetch(address: str) -> bytes:
    """The content at `address`; a login in the address is sent as a header, as pip does."""
    parts = urlsplit(address)
    request = Request(without_login(address), headers={"Accept": "text/html"})  # noqa: S310  the index pip is configured for
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    certificates = os.environ.get("PIP_CERT") or None
    context = ssl.create_default_context(cafile=certificates)
    with urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310  as above
        content = answer.read()
        assert isinstance(content, bytes)  # noqa: S101  typeshed says Any
        return content


def without_login(address: str) -> str:
    """`address` without its login, safe to print."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


if __name__ == "__main__":
    sys.exit(main())
