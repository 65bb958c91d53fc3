"""The lint that every mail made in a test must pass.

`lint(mail)` takes a composed `Email` or the bytes on the wire and fails with all faults: RFC 5322
(line lengths, duplicate headers), 2369 and 8058 (List-*), 3834 (Auto-Submitted); both parts present
with the same numbers; HTML with closed elements and a language, and without network requests;
images with alternative text; links with valid signatures; no unrendered template.
"""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from html.parser import HTMLParser

from worker.domain.models import Email
from worker.links import LinkError, Signer

MOST_BYTES = 100_000
OURS = b"\nX-Easeback-Kind: "
"""The header that tells the product's mails from those made up by tests."""

KINDS = frozenset({"alert", "weekly", "reconnect", "notice"})

_VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})
_FETCHING = frozenset({"script", "iframe", "object", "embed", "link", "form", "video", "audio"})
_ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "X-Easeback-Kind",
         "List-Id", "Auto-Submitted")  # fmt: skip
_URL = re.compile(r"https?://\S+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_LEFT_OVER = re.compile(r"\{\{|\}\}|\{%|%\}|\bUndefined\b|\bNone\b|\bnan\b")


def lint(mail: Email | bytes, *, signer: Signer | None = None) -> None:
    """Fail with every fault of this mail; a `signer` has its links checked as well."""
    found = faults_of(mail, signer=signer)
    assert not found, "\n".join(found)


def faults_of(mail: Email | bytes, *, signer: Signer | None = None) -> list[str]:
    """Every fault of this mail as a sentence."""
    return _of_bytes(mail, signer) if isinstance(mail, bytes) else _of_email(mail, signer)


def numbers(text: str) -> set[str]:
    """Every number that a reader sees in `text`, except inside addresses."""
    return set(_NUMBER.findall(_URL.sub(" ", text.replace("\u00a0", " "))))


def visible(html: str) -> str:
    """The text of this HTML for readers and screen readers."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return " ".join(reader.said)


def _of_email(email: Email, signer: Signer | None) -> list[str]:
    headers = dict(email.extra_headers)
    size = (
        len(email.text.encode()) + len(email.html.encode()) + sum(len(i[1]) for i in email.images)
    )
    found = _of_subject(email.subject) + _of_text(email.text) + _of_html(email.html)
    found += _of_pictures(email.html, {name for name, _ in email.images})
    found += _same_numbers(email.text, email.html)
    found += _of_unsubscribing(
        headers.get("List-Unsubscribe"), headers.get("List-Unsubscribe-Post")
    )
    found += [f"{name}: a break in a header" for name, value in headers.items() if _breaks(value)]
    if size > MOST_BYTES:
        found.append(f"{size} bytes are more than {MOST_BYTES}")
    if signer is not None:
        found += _of_links(email.html + " " + email.text, signer)
    return found


def _of_bytes(mime: bytes, signer: Signer | None) -> list[str]:
    message = message_from_bytes(mime, policy=default_policy)
    assert isinstance(message, EmailMessage)
    found = _of_lines(mime)
    found += [
        f"{name} stands {n} times" for name in _ONCE if (n := len(message.get_all(name, []))) != 1
    ]
    if message["X-Easeback-Kind"] not in KINDS:
        found.append(f"X-Easeback-Kind: {message['X-Easeback-Kind']}")
    if message["Auto-Submitted"] != "auto-generated":
        found.append("Auto-Submitted isn't auto-generated (RFC 3834)")
    if not re.fullmatch(r"[^<>]*<[A-Za-z0-9.-]+>", str(message["List-Id"])):
        found.append(f"List-Id: {message['List-Id']} (RFC 2919)")
    if not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", str(message["Message-ID"]).strip()):
        found.append(f"Message-ID: {message['Message-ID']}")
    if message.get_content_type() != "multipart/alternative":
        return [*found, f"a {message.get_content_type()}, no multipart/alternative"]
    text, html = list(message.iter_parts())
    pictures: tuple[tuple[str, bytes], ...] = ()
    if html.get_content_type() == "multipart/related":
        html, *images = list(html.iter_parts())
        pictures = tuple((str(i["Content-ID"]).strip("<>"), i.get_content()) for i in images)
    if (text.get_content_type(), html.get_content_type()) != ("text/plain", "text/html"):
        return [*found, "the plain part must come first, the HTML part last"]
    unsubscribing = [
        (name, str(message[name]))
        for name in ("List-Unsubscribe", "List-Unsubscribe-Post")
        if message[name]
    ]
    inner = Email(
        kind=message["X-Easeback-Kind"],
        recipient=str(message["To"]),
        subject=str(message["Subject"]),
        text=text.get_content(),
        html=html.get_content(),
        images=pictures,
        extra_headers=tuple(unsubscribing),
    )
    return found + _of_email(inner, signer)


def _of_lines(mime: bytes) -> list[str]:
    found = []
    if re.search(rb"(?<!\r)\n|\r(?!\n)", mime):
        found.append("a line ends in a bare CR or LF (RFC 5322)")
    if any(len(line) > 998 for line in mime.split(b"\r\n")):
        found.append("a line is longer than 998 (RFC 5322)")
    if len(mime) > MOST_BYTES:
        found.append(f"{len(mime)} bytes are more than {MOST_BYTES}")
    head = mime.partition(b"\r\n\r\n")[0]
    if not head.isascii() or b"\0" in head:
        found.append("a header isn't plain ASCII")
    return found


def _of_subject(subject: str) -> list[str]:
    found = [] if subject.strip() == subject and subject else ["the subject is empty or padded"]
    if not subject.replace("\u202f", " ").isprintable() or len(subject) > 120:
        found.append(f"the subject isn't one short line: {subject!r}")
    return found + [f"subject: {rest} is left over" for rest in _LEFT_OVER.findall(subject)]


def _of_text(text: str) -> list[str]:
    found = [f"text: {rest} is left over" for rest in _LEFT_OVER.findall(text)]
    found += [
        f"text: a line of {len(line)}: {line[:40]}..."
        for line in text.splitlines()
        if len(line) > 78 and not _URL.search(line)
    ]
    if re.search(r"</?[a-z][^>]*>|&[a-z]+;", text):
        found.append("text: markup in the plain part")
    if "\n\n\n" in text:
        found.append("text: more than one empty line")
    return found


def _of_html(html: str) -> list[str]:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    found = [*reader.faults, *(f"html: <{tag}> is never closed" for tag in reader.open)]
    found += [f"html: {rest} is left over" for rest in _LEFT_OVER.findall(" ".join(reader.said))]
    if not html.lstrip().lower().startswith("<!doctype html>"):
        found.append("html: no doctype")
    if not reader.language:
        found.append("html: no language")
    if reader.headings.count(1) != 1:
        found.append(f"html: {reader.headings.count(1)} headings of the first rank")
    if any(b - a > 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False)):
        found.append(f"html: a rank of headings is skipped: {reader.headings}")
    if re.search(r"@import|url\s*\(|expression\s*\(", html):
        found.append("html: the style sheet fetches something")
    return found


def _of_pictures(html: str, names: set[str]) -> list[str]:
    used = set(re.findall(r'src="cid:([^"]+)"', html))
    return [
        f"picture {name} is named but not there, or there but not named" for name in used ^ names
    ]


def _same_numbers(text: str, html: str) -> list[str]:
    in_text, in_html = numbers(text), numbers(visible(html))
    found = []
    if in_text - in_html:
        found.append(f"only the text says {sorted(in_text - in_html)}")
    if in_html - in_text:
        found.append(f"only the HTML says {sorted(in_html - in_text)}")
    return found


def _of_unsubscribing(address: str | None, post: str | None) -> list[str]:
    if (address is None) != (post is None):
        return ["List-Unsubscribe and List-Unsubscribe-Post come together (RFC 8058)"]
    if address is None:
        return []
    found = []
    if not re.fullmatch(r"<https?://[\x21-\x7e]+>", address):
        found.append(f"List-Unsubscribe: {address} (RFC 2369)")
    if post != "List-Unsubscribe=One-Click":
        found.append(f"List-Unsubscribe-Post: {post} (RFC 8058)")
    return found


def _of_links(body: str, signer: Signer) -> list[str]:
    found = []
    base = re.escape(signer.base_url)
    for purpose, token in set(re.findall(rf"{base}/([a-z]+)/([\w.\-]+)", body)):
        try:
            signer.check(purpose, token, now=datetime.max.replace(tzinfo=UTC))
        except LinkError as error:
            found.append(f"{purpose}: {error}")
    return found


def _breaks(value: str) -> bool:
    return not value.isprintable() or not value.isascii()


class _Reader(HTMLParser):
    """Parses HTML as strictly as a validator and collects its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.said: list[str] = []
        self.headings: list[int] = []
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if len(given) != len(attrs):
            self.faults.append(f"html: <{tag}> has an attribute twice")
        if tag not in _VOID:
            self.open.append(tag)
        if tag in _FETCHING:
            self.faults.append(f"html: <{tag}> has no place in a mail")
        if tag == "html":
            self.language = given.get("lang") or ""
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self._look_at(given)
        if tag == "a" and not re.match(r"https?://|mailto:", given.get("href") or ""):
            self.faults.append(f"html: a link to {given.get('href')!r}")
        if any(name.startswith("on") for name in given):
            self.faults.append(f"html: <{tag}> has a script")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"html: </{tag}> closes {self.open[-1:] or 'nothing'}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open) and data.strip():
            self.said.append(data)

    def _look_at(self, given: dict[str, str | None]) -> None:
        if not re.match(r"cid:", given.get("src") or ""):
            self.faults.append(f"html: a picture from {given.get('src')!r}")
        if not given.get("width"):
            self.faults.append("html: a picture without its width")
        if not given.get("alt"):
            self.faults.append("html: a picture without words")
        self.said.append(given.get("alt") or "")
