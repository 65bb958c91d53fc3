"""Easeback: notices when a runner's mileage outruns the body, and mails the routine that helps.

`docs/architecture.md` describes this package's parts, and follows a run until it is a mail.
"""

__version__ = "0.1.0"
