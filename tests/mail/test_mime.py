"""The bytes of a mail: accepted by every server and shown by every reader."""

import email
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.models import Email, MailKind
from worker.mail import readdressed, to_mime

SENT_AT = datetime(2026, 3, 14, 7, 2, 5, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=300)
ADDRESSES = ANY_TEXT | st.from_regex(
    r"[a-zé.]{0,9} ?[@<>(,;:\"\\]{0,3}[a-zé]{0,9}[@.>]{0,2}[a-zé.]{0,9}>?"
)
SOUND_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))


def render(
    *,
    kind: MailKind = "alert",
    recipient: str = "ann@example.org",
    subject: str = "You jumped",
    text: str = "Ease off.\n",
    html: str = "<p>Ease off.</p>\n",
    images: tuple[tuple[str, bytes], ...] = (),
    extra: tuple[tuple[str, str], ...] = (),
    message_id: str = "<1.alert@example.org>",
    sender: str = "Easeback <easeback@example.org>",
    reply_to: str | None = None,
) -> bytes:
    mail = Email(kind, recipient, subject, text, html, images, extra)
    return to_mime(mail, message_id=message_id, date=SENT_AT, sender=sender, reply_to=reply_to)


def read(mime: bytes) -> EmailMessage:
    message = email.message_from_bytes(mime, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_headers_say_who_what_when_and_that_a_machine_wrote() -> None:
    """RFC 5322, 2919 and 3834, and the product's own header."""
    message = read(render(kind="weekly", reply_to="May <may@clinic.example>"))
    assert dict(message.items()) | {"Content-Type": ""} == {
        "From": "Easeback <easeback@example.org>",
        "To": "ann@example.org",
        "Subject": "You jumped",
        "Date": "Sat, 14 Mar 2026 07:02:05 +0000",
        "Message-ID": "<1.alert@example.org>",
        "List-Id": "Easeback weekly <weekly.easeback.example.org>",
        "Auto-Submitted": "auto-generated",
        "X-Easeback-Kind": "weekly",
        "Reply-To": "May <may@clinic.example>",
        "MIME-Version": "1.0",
        "Content-Type": "",
    }


def test_text_and_html_are_alternatives_with_images_beside_the_html() -> None:
    """A reader without HTML gets the text alone; pictures are inline."""
    message = read(render(images=(("weeks@easeback", PNG),)))
    assert message.get_content_type() == "multipart/alternative"
    plain, related = message.iter_parts()
    assert plain.get_content_type() == "text/plain"
    assert related.get_content_type() == "multipart/related"
    html, image = related.iter_parts()
    assert html.get_content_type() == "text/html"
    assert image["Content-ID"] == "<weeks@easeback>"
    assert image.get_content_disposition() == "inline"
    assert image.get_content() == PNG


def test_the_same_mail_is_the_same_bytes() -> None:
    """Boundaries aren't random, so that a mail made twice is the same mail."""
    assert render(images=(("a@b", PNG),)) == render(images=(("a@b", PNG),))


def test_an_extra_header_replaces_ours() -> None:
    """A mail has one List-Id."""
    mime = render(extra=(("List-Id", "<own.example.org>"), ("References", "<0@example.org>")))
    message = read(mime)
    assert message.get_all("List-Id") == ["<own.example.org>"]
    assert message["References"] == "<0@example.org>"


@pytest.mark.parametrize("name", ["List-Unsubscribe", "References", "In-Reply-To"])
def test_long_addresses_and_identifiers_stay_whole(name: str) -> None:
    """Folding it into encoded words, as the standard policy does, breaks one-click unsubscribe."""
    value = f"<https://example.org/unsubscribe/{'x' * 300}>"
    assert f"{name}: {value}\r\n".encode() in render(extra=((name, value),))
    long_id = f"<{'m' * 120}@example.org>"
    assert f"Message-ID: {long_id}\r\n".encode() in render(message_id=long_id)


def test_subjects_and_names_fold_as_encoded_words_of_legal_length() -> None:
    """RFC 2047: no encoded word over 75 characters, and decoding restores the text."""
    subject = "Samstags 14,2 km waren das 1,6-Fache deiner längsten Läufe, für März " * 3
    mime = render(subject=subject.strip(), sender="Praxis für Läufer <may@clinic.example>")
    words = re.findall(rb"=\?[^?]*\?[^?]*\?[^?]*\?=", mime)
    assert words
    assert max(map(len, words)) <= 75
    assert read(mime)["Subject"] == subject.strip()
    assert read(mime)["From"].addresses[0].display_name == "Praxis für Läufer"


@pytest.mark.parametrize(
    "hostile",
    [
        "x\r\nBcc: evil@example.org",
        "x\nBcc: evil@example.org",
        "x\x0bBcc: evil@example.org",
        "x\u2028Bcc: evil@example.org",
        "x\x00\u202eBcc: evil@example.org",
        "x\x85\ud800Bcc: evil@example.org",
    ],
)
def test_no_text_becomes_a_header(hostile: str) -> None:
    """Nothing that any program treats as a line end ends a line here."""
    mime = render(
        subject=hostile,
        sender=f"{hostile} <easeback@example.org>",
        reply_to=hostile,
        extra=(("X-Note", hostile),),
    )
    message = read(mime)
    assert message["Bcc"] is None
    assert message["Subject"].startswith("x")
    assert not set("\x00\x0b\x85\u2028\u202e") & set(str(message["Subject"]))
    assert all(b"Bcc" not in line[:3] for line in mime.split(b"\r\n"))


@pytest.mark.parametrize("nobody", ["", "ann", "ann@", "@example.org", "a b@c d", "(((", '"@"'])
def test_what_is_no_address_stands_in_no_header(nobody: str) -> None:
    """The mail can still be composed; its delivery is refused elsewhere."""
    message = read(render(recipient=nobody, reply_to=nobody))
    assert message["To"] == "undisclosed-recipients:;"


def test_an_address_beyond_ascii_is_written_as_itself() -> None:
    """Encoded words aren't allowed in an address; such a mail is sent as UTF-8."""
    mime = render(recipient="jürgen@exämple.org")
    assert "To: jürgen@xn--exmple-cua.org\r\n".encode() in mime


@given(subject=ANY_TEXT, text=ANY_TEXT, html=ANY_TEXT, name=ADDRESSES, recipient=ADDRESSES)
def test_whatever_the_words_the_mail_is_lawful(
    subject: str, text: str, html: str, name: str, recipient: str
) -> None:
    """CRLF, no line over 998 bytes (76 in a body), both parts present, for any text."""
    mime = render(
        subject=subject, text=text, html=html, reply_to=name, sender=name, recipient=recipient,
        images=(("a@b", PNG),),
    )  # fmt: skip
    assert not {*b"\r\n"} & {*mime.replace(b"\r\n", b"")}
    head, _, body = mime.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert max(map(len, body.split(b"\r\n"))) <= 76
    message = read(mime)
    assert [found.get_content_type() for found in message.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip


@given(text=SOUND_TEXT, html=SOUND_TEXT)
def test_both_parts_arrive_as_written(text: str, html: str) -> None:
    """Nothing is lost or changed except the final line break."""
    message = read(render(text=text, html=html))
    for kind, written in (("plain", text), ("html", html)):
        assert part(message, kind).replace("\r\n", "\n").rstrip("\n") == written.rstrip("\n")


@pytest.mark.parametrize("recipient", ["new@example.org", "ängs@exämple.org", f"{'x' * 60}@e.org"])
@pytest.mark.parametrize("before", ["ann@example.org", f"{'Ä' * 90} <ann@example.org>"])
def test_another_recipient_changes_the_to_and_not_a_byte_beside_it(
    before: str, recipient: str
) -> None:
    """Each line still ends in CRLF; a bare LF would be up to the server."""
    mime = render(recipient=before)
    anew = readdressed(mime, recipient)
    assert not re.search(rb"(?<!\r)\n", anew)
    assert re.sub(rb"To: (?s:.*?)(?=\r\n\S)", b"", anew, count=1) == re.sub(
        rb"To: (?s:.*?)(?=\r\n\S)", b"", mime, count=1
    )
    assert recipient.partition("@")[0].encode() in anew.partition(b"\r\n\r\n")[0]
