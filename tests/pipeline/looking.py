"""Helpers for tests of the watched folder: a file's database entry, and a restart."""

from dataclasses import replace

from tests.app import App
from worker.domain.files import Snapshot
from worker.sources.folder import Inbox


def entry(app: App, path: str) -> Snapshot:
    """The database entry of a file."""
    with app.services.store.reading() as tx:
        return tx.inbox.at_paths([path])[path]


def restarted(app: App, *, patient: bool = True) -> App:
    """The same application after a restart, with only what the store holds."""
    old = app.services.inbox
    inbox = Inbox(old.folder, old.settings, patient=patient, read_many=old.read_many)
    return App(replace(app.services, inbox=inbox), app.mailer, app.now)
