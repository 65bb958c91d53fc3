"""From an `Email` to the bytes that travel. Sends nothing, reads no clock, rolls no dice."""

import hashlib
import re
from contextlib import suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import parseaddr
from functools import lru_cache

from worker.domain.models import Email

_DIRECTION_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Narrower than RFC 5322, and just what the standard library's parser reads without falling over.
_ATOMS = r"""[^\s@<>()\[\],;:\\".]+(\.[^\s@<>()\[\],;:\\".]+)*"""
_ADDRESS = re.compile(f"{_ATOMS}@{_ATOMS}")
_JPEG = b"\xff\xd8"
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class _Wire(EmailPolicy):
    """Folds sentences and names as RFC 2047 wants, and leaves identifiers and addresses whole.

    The standard policy turns a Message-ID or a List-Unsubscribe of more than 78 characters into
    encoded words, which no mail reader follows.
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        width = 76 if name == "Subject" or not value.isascii() else 998
        return EmailPolicy.fold_binary(self.clone(max_line_length=width), name, value)


def to_mime(
    email: Email, *, message_id: str, date: datetime, sender: str, reply_to: str | None
) -> bytes:
    """Render a mail; the same arguments give the same bytes.

    `message_id` comes with its angle brackets, `date` is aware. Images (PNG or JPEG) become inline
    parts that the HTML names as `cid:NAME`. `extra_headers` replace what stands here.
    """
    from_address, recipient = postal(sender), postal(email.recipient)
    domain = from_address.rpartition("@")[2] or "localhost"
    # 76 is what RFC 2045 allows a line of quoted-printable; headers are folded by _Wire below.
    message = EmailMessage(policy=EmailPolicy(max_line_length=76))
    headers = {
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
    message["Date"] = date
    for name, value in headers.items():
        message[name] = one_line(value)
    # Half characters, which no encoding takes, are replaced.
    text, html = (part.encode("utf-8", "replace").decode() for part in (email.text, email.html))
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    # "=_" can't occur in quoted-printable or base64, so no content can hold a boundary.
    seed = hashlib.sha256(message_id.encode()).hexdigest()[:24]
    message.set_boundary(f"=_alt_{seed}")
    if email.images:
        list(message.iter_parts())[-1].make_related(f"=_rel_{seed}")
    needs_utf8 = not (recipient + from_address).isascii()
    mime = message.as_bytes(policy=_Wire(linesep="\r\n", utf8=needs_utf8))
    if not email.images:
        return mime
    related = f"\r\n--=_rel_{seed}".encode()
    head, end, rest = mime.rpartition(related + b"--")
    images = (
        related + b"\r\n" + _image(name, content, utf8=needs_utf8) for name, content in email.images
    )
    return b"".join((head, *images, end, rest))


@lru_cache(maxsize=64)
def _image(name: str, content: bytes, *, utf8: bool) -> bytes:
    """An image as a part of a mail: those of exercises are the same in each."""
    part = EmailMessage(policy=_Wire(linesep="\r\n", utf8=utf8))
    kind = "jpeg" if content.startswith(_JPEG) else "png"
    part.set_content(content, "image", kind, cid=f"<{name}>", disposition="inline")
    return part.as_bytes()


def readdressed(mime: bytes, recipient: str) -> bytes:
    """A mail from `to_mime` with another recipient in its To, and nothing else changed."""
    head, end, body = mime.partition(b"\r\n\r\n")
    policy = _Wire(linesep="\r\n", utf8=not (head.isascii() and recipient.isascii()))
    to = policy.header_factory("To", _mailbox(recipient))
    folded = policy.fold_binary("To", to).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^To: .*(\r\n[ \t].*)*", lambda _: folded, head, count=1) + end + body


def one_line(text: str) -> str:
    """`text` without what could end a header or turn its reading direction."""
    return _CONTROLS.sub(" ", _DIRECTION_MARKS.sub("", text)).strip()


def postal(text: str) -> str:
    """The bare address in `text`, its domain in the ASCII every server takes; "" for none."""
    address = parseaddr(one_line(text))[1]
    if not _ADDRESS.fullmatch(address):
        return ""
    local, _, domain = address.rpartition("@")
    with suppress(UnicodeError):  # no name a domain can have: the server will say so
        domain = domain.encode("idna").decode()
    return f"{local}@{domain}"


def _mailbox(text: str) -> str:
    """`text` as an address header takes it: a name and an address, or undisclosed recipients."""
    address = postal(text)
    if not address:
        return "undisclosed-recipients:;"
    local, _, domain = address.rpartition("@")
    return str(Address(parseaddr(one_line(text))[0], local, domain))
