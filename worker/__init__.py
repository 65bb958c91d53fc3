"""Easeback: notices when a runner's mileage outruns the body, and mails the routine that helps.

`docs/architecture.md` lists the rooms of this package, and walks from a run to a mail.
"""

__version__ = "0.1.0"
