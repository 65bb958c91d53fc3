"""Delivery of one rendered mail: over SMTP, or as a file in the mailbox folder."""
