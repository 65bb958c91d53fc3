"""Easeback: notices when a runner's mileage outruns the body, and mails the routine that helps.

The rooms of this package and the floors they stand on are drawn in `docs/architecture.md`.
"""

__version__ = "0.1.0"
