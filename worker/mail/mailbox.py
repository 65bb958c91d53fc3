"""Mail without a mail server: each mail is an `.eml` file in a folder, complete or absent."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from pathlib import Path

from worker.mail.base import SendError


class MailboxMailer:
    """Writes each mail as an `.eml` file. The same mail twice is one file."""

    connections = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def connected(self) -> AbstractContextManager[None]:
        """There is nothing to connect to."""
        return nullcontext()

    def send(
        self, mime: bytes, *, sender: str, recipient: str, before_dot: Callable[[], None]
    ) -> None:
        """Write the mail; `before_dot` is called once it is on the disk, before it appears."""
        del sender, recipient  # both are in the mail
        name = _file_name(mime)
        part = self._folder / f".{name}.part"
        try:
            with self._in_words():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _write_through(part, mime)
            before_dot()
            with self._in_words():
                part.replace(self._folder / name)
                # Without this, the rename may be lost in a power cut.
                folder = os.open(self._folder, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    def check(self) -> str:
        """Write a file and delete it again."""
        probe = self._folder / f".check-{os.getpid()}.part"
        with self._in_words():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_through(probe, b"")
            probe.unlink()
        return f"no [mail] host is set: mail is written into {self._folder}"

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SendError(
                f"The mailbox folder {self._folder} can't be written: {error.strerror or error}",
                permanent=False,
                unreachable=True,
            ) from error


def file_digest(message_id: str) -> str:
    """The end of a mail's file name, by which its file is found."""
    return hashlib.sha256(message_id.strip().encode()).hexdigest()[:12]


def _file_name(mime: bytes) -> str:
    """A name of date, kind and Message-ID digest: sorts by time, always the same for a mail."""
    headers = message_from_bytes(mime.partition(b"\r\n\r\n")[0], policy=policy.default)
    sent_at = parsedate_to_datetime(str(headers["Date"])).astimezone(UTC)
    kind = re.sub(r"[^a-z]", "", str(headers["X-Easeback-Kind"]))
    digest = file_digest(str(headers["Message-ID"]))
    return f"{sent_at:%Y-%m-%dT%H%M%SZ}_{kind}_{digest}.eml"


def _write_through(path: Path, content: bytes) -> None:
    """Write and fsync the file, readable by its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
