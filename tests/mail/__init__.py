"""Tests of delivery: SMTP, the mailbox folder and the bytes of a mail."""
