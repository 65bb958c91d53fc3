"""Delivery of one mail: from a composed `Email` to bytes, over SMTP or into the mailbox folder.

Nothing here decides whether, when or how often a mail is sent, or remembers that it was; the
outbox does. `base.py` has what both ways share, `mime.py` makes the bytes, `smtp.py` and
`mailbox.py` deliver them, and `dialogue.py` limits what a mail server may take.
"""

from worker.mail.base import AccessTokens, Mailer, SendError
from worker.mail.dialogue import Heard, Timeouts
from worker.mail.mailbox import MailboxMailer, file_digest
from worker.mail.mime import readdressed, to_mime
from worker.mail.smtp import RECONNECT, SmtpMailer

__all__ = [
    "RECONNECT",
    "AccessTokens",
    "Heard",
    "MailboxMailer",
    "Mailer",
    "SendError",
    "SmtpMailer",
    "Timeouts",
    "file_digest",
    "readdressed",
    "to_mime",
]
