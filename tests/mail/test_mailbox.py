"""The mailbox folder: mails as complete files, once, and private."""

import email
import os
from datetime import UTC, datetime
from email import policy
from pathlib import Path

import pytest

from worker.domain.models import Email, MailKind
from worker.mail import MailboxMailer, SendError, to_mime

HTML = '<!DOCTYPE html><html lang="en"><body><h1>Ease off.</h1></body></html>'
SENT_AT = datetime(2026, 3, 14, 7, 2, 5, tzinfo=UTC)


def mime(*, kind: MailKind = "alert", number: int = 1) -> bytes:
    mail = Email(kind, "ann@example.org", "Größer", "Ease off.", HTML)
    return to_mime(
        mail, message_id=f"<{number}@x.org>", date=SENT_AT, sender="E <e@x.org>", reply_to=None
    )


def send(folder: Path, content: bytes) -> None:
    MailboxMailer(folder).send(
        content, sender="e@x.org", recipient="ann@example.org", before_dot=lambda: None
    )


def test_a_mail_is_a_file_named_for_its_date_and_kind(tmp_path: Path) -> None:
    """Sorting by name is sorting by time, and the content is the mail byte for byte."""
    send(tmp_path / "mailbox", mime(kind="weekly"))
    (file,) = (tmp_path / "mailbox").iterdir()
    assert file.name.startswith("2026-03-14T070205Z_weekly_")
    assert file.suffix == ".eml"
    assert file.read_bytes() == mime(kind="weekly")
    assert email.message_from_bytes(file.read_bytes(), policy=policy.SMTP)["Subject"] == "Größer"


def test_the_same_mail_twice_is_one_file(tmp_path: Path) -> None:
    """Resending after a kill replaces the file; another mail gets its own."""
    for _ in range(2):
        send(tmp_path, mime())
    send(tmp_path, mime(number=2))
    assert len(list(tmp_path.iterdir())) == 2


def test_mail_is_private(tmp_path: Path) -> None:
    """Mails are about health: folder and files are private to their owner."""
    send(tmp_path / "mailbox", mime())
    (file,) = (tmp_path / "mailbox").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "mailbox").stat().st_mode & 0o077 == 0


def test_the_mail_appears_only_after_the_moment_before_the_dot(tmp_path: Path) -> None:
    """The outbox commits first, and no partial file ever has an .eml name."""
    seen: list[list[Path]] = []
    MailboxMailer(tmp_path).send(
        mime(), sender="", recipient="", before_dot=lambda: seen.append([*tmp_path.glob("*.eml")])
    )
    assert seen == [[]]
    assert len([*tmp_path.glob("*.eml")]) == 1


def test_a_failing_commit_leaves_nothing(tmp_path: Path) -> None:
    """If the outbox can't record it, no file stays behind."""

    def disk_full() -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        MailboxMailer(tmp_path).send(mime(), sender="", recipient="", before_dot=disk_full)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_a_temporary_error_in_words(tmp_path: Path) -> None:
    """The mail waits until the folder is repaired."""
    (tmp_path / "mailbox").write_text("a file in the way")
    for act in (
        lambda: send(tmp_path / "mailbox", mime()),
        MailboxMailer(tmp_path / "mailbox").check,
    ):
        with pytest.raises(SendError, match="mailbox can't be written: File exists") as caught:
            act()
        assert not caught.value.permanent


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_temporary_error_in_words(tmp_path: Path) -> None:
    """Writing fails late, at the flush; the mail is kept for another try."""
    send(tmp_path, mime())
    (file,) = tmp_path.iterdir()
    (tmp_path / f".{file.name}.part").symlink_to("/dev/full")
    file.unlink()
    with pytest.raises(SendError, match="No space left on device") as caught:
        send(tmp_path, mime())
    assert not caught.value.permanent
    assert list(tmp_path.iterdir()) == []


def test_the_check_leaves_no_trace(tmp_path: Path) -> None:
    """It tests the folder and says where mail goes."""
    assert str(tmp_path) in MailboxMailer(tmp_path).check()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  names are all that matters


def test_a_batch_needs_no_connection(tmp_path: Path) -> None:
    """The folder is used like a server."""
    post = MailboxMailer(tmp_path)
    with post.connected():
        for number in range(3):
            post.send(mime(number=number), sender="", recipient="", before_dot=lambda: None)
    assert len(list(tmp_path.iterdir())) == 3
