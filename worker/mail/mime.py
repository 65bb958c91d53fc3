"""Converts an `Email` into the bytes to send. Sends nothing, reads no clock, uses no randomness."""

import hashlib
import re
from base64 import encodebytes
from binascii import b2a_qp
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from email.headerregistry import Address
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from worker.domain.models import Email

_DIRECTION_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Narrower than RFC 5322: only what the standard library's parser reads without errors.
_ATOMS = r"""[^\s@<>()\[\],;:\\".]+(\.[^\s@<>()\[\],;:\\".]+)*"""
_ADDRESS = re.compile(f"{_ATOMS}@{_ATOMS}")
_ADDRESSES = frozenset({"From", "To", "Reply-To"})
_LINE = 76
"""The longest line (RFC 2045, 2047); one that can't be folded may have `_LONGEST_LINE`."""

_LONGEST_LINE = 998
_JPEG = b"\xff\xd8"
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class _Wire(EmailPolicy):
    """Folds sentences and names as RFC 2047 requires, and leaves identifiers and addresses whole.

    The standard policy turns a Message-ID or a List-Unsubscribe of more than 78 characters into
    encoded words, which no mail reader understands.
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        width = _LINE if name == "Subject" or not value.isascii() else _LONGEST_LINE
        return EmailPolicy.fold_binary(self.clone(max_line_length=width), name, value)


def to_mime(
    email: Email, *, message_id: str, date: datetime, sender: str, reply_to: str | None
) -> bytes:
    """Render a mail; the same arguments give the same bytes.

    `message_id` includes its angle brackets, and `date` is aware. Images (PNG or JPEG) become
    inline parts to which the HTML refers as `cid:NAME`. `extra_headers` override the headers set
    here.
    """
    from_address, recipient = postal(sender), postal(email.recipient)
    domain = from_address.rpartition("@")[2] or "localhost"
    headers = {
        "Date": format_datetime(date),
        "From": _mailbox(sender),
        "To": _mailbox(email.recipient),
        "Subject": email.subject,
        "Message-ID": message_id,
        "List-Id": f"Easeback {email.kind} <{email.kind}.easeback.{domain}>",
        "Auto-Submitted": "auto-generated",
        "X-Easeback-Kind": email.kind,
        **({"Reply-To": _mailbox(reply_to)} if reply_to else {}),
        **dict(email.extra_headers),
    }
    needs_utf8 = not (recipient + from_address).isascii()
    head = [_header(name, one_line(value), needs_utf8) for name, value in headers.items()]
    # "=_" can't occur in quoted-printable or base64, so no content can contain a boundary.
    seed = hashlib.sha256(message_id.encode()).hexdigest()[:24]
    html = _text("html", email.html)
    if email.images:
        images = (_image(name, content) for name, content in email.images)
        html = _multipart("related", f"=_rel_{seed}", (html, *images))
    alternatives = (_text("plain", email.text), html)
    return b"".join((*head, _multipart("alternative", f"=_alt_{seed}", alternatives)))


def _header(name: str, value: str, utf8: bool) -> bytes:
    """One header, folded. A short ASCII line isn't parsed first."""
    width = _LINE if name == "Subject" else _LONGEST_LINE
    is_plain = value.isascii() and "=?" not in value and name not in _ADDRESSES
    if is_plain and len(name) + len(value) + 2 <= width:
        return f"{name}: {value}\r\n".encode("ascii")
    return _folded(name, value, utf8)


@lru_cache(maxsize=256)
def _folded(name: str, value: str, utf8: bool) -> bytes:
    policy = _Wire(linesep="\r\n", utf8=utf8)
    return policy.fold_binary(name, policy.header_factory(name, value))


def _text(subtype: str, content: str) -> bytes:
    """A text part of a mail."""
    # Lone surrogates, which can't be encoded, are replaced.
    lines = content.encode("utf-8", "replace").splitlines() or [b""]
    packed = b2a_qp(b"\n".join((*lines, b"")), istext=True).replace(b"\n", b"\r\n")
    kind = f'Content-Type: text/{subtype}; charset="utf-8"\r\n'.encode()
    return kind + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + packed


def _multipart(subtype: str, boundary: str, parts: Iterable[bytes]) -> bytes:
    """A multipart of these parts."""
    kind = f'MIME-Version: 1.0\r\nContent-Type: multipart/{subtype}; boundary="{boundary}"\r\n'
    between = f"\r\n--{boundary}".encode()
    opened = (between + b"\r\n" + part for part in parts)
    return b"".join((kind.encode(), *opened, between + b"--\r\n"))


@lru_cache(maxsize=64)
def _image(name: str, content: bytes) -> bytes:
    """An image part of a mail; cached, because the exercises' images repeat."""
    kind = "jpeg" if content.startswith(_JPEG) else "png"
    head = (
        f"Content-Type: image/{kind}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: inline\r\nContent-ID: <{name}>\r\n\r\n"
    )
    return head.encode() + encodebytes(content).replace(b"\n", b"\r\n")


def readdressed(mime: bytes, recipient: str) -> bytes:
    """A mail from `to_mime` with another recipient in its To and otherwise unchanged."""
    head, end, body = mime.partition(b"\r\n\r\n")
    policy = _Wire(linesep="\r\n", utf8=not (head.isascii() and recipient.isascii()))
    to = policy.header_factory("To", _mailbox(recipient))
    folded = policy.fold_binary("To", to).removesuffix(b"\r\n")
    # Not `.`, which would match the CR at the end of the line too.
    before = rb"(?m)^To: [^\r\n]*(\r\n[ \t][^\r\n]*)*"
    return re.sub(before, lambda _: folded, head, count=1) + end + body


def one_line(text: str) -> str:
    """`text` without characters that could end a header or change its reading direction."""
    return _CONTROLS.sub(" ", _DIRECTION_MARKS.sub("", text)).strip()


def postal(text: str) -> str:
    """The bare address in `text`, its domain in ASCII for every server; "" if there is none."""
    address = parseaddr(one_line(text))[1]
    if not _ADDRESS.fullmatch(address):
        return ""
    local, _, domain = address.rpartition("@")
    with suppress(UnicodeError):  # not a valid domain: the server will say so
        domain = domain.encode("idna").decode()
    return f"{local}@{domain}"


def _mailbox(text: str) -> str:
    """`text` for an address header: a name and an address, or undisclosed recipients."""
    address = postal(text)
    if not address:
        return "undisclosed-recipients:;"
    local, _, domain = address.rpartition("@")
    return str(Address(parseaddr(one_line(text))[0], local, domain))
