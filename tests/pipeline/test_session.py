"""A credential is locked by one worker at a time, and read only under the lock."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from tests.app import NOW
from worker.app import build_services
from worker.config import Settings
from worker.domain.models import Athlete
from worker.pipeline.session import encrypt, open_session
from worker.sources.base import Credential
from worker.store import Store

MINUTE = timedelta(minutes=1)


def test_what_another_worker_renewed_last_is_what_is_used(
    postgres_url: str, tmp_path: Path
) -> None:
    """It may save fresh tokens between any two of our statements; the old ones are then invalid."""
    services = build_services(Settings(data_dir=tmp_path, database_url=postgres_url), None)
    connected = services.sources["garmin"]
    sealed = encrypt(connected, Credential("", ("key",)))
    with closing(services.store) as store, closing(Store.open(postgres_url)) as other:
        with store.transaction() as tx:
            mira = tx.athletes.add(Athlete(0, "Mira", "mira@example.org", NOW))
            rows = tx.source("garmin")
            rows.connect(mira, account_id="", encrypted=sealed, now=NOW)
            rows.lease(mira, now=NOW, until=NOW + MINUTE)
        renewed = False

        @event.listens_for(store.engine, "after_cursor_execute")
        def let_the_other_finish(*said: Any) -> None:
            nonlocal renewed
            if not renewed and "source_credential" in said[2]:
                renewed = True
                with other.transaction() as tx:
                    rows = tx.source("garmin")
                    assert rows.renew(mira, version=1, encrypted=sealed, expires_at=None)
                    rows.release(mira)

        with open_session(services, connected, mira, lambda: NOW) as session:
            assert session is None or session.stored.version == 2
        with open_session(services, connected, mira, lambda: NOW) as session:
            assert session is not None
            assert session.stored.version == 2
        assert renewed
