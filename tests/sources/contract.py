"""The contract of sources: tests that every service has to pass."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from simulators.clock import Clock
from simulators.http_server import LONGEST_FAULT_S
from worker.config import Settings
from worker.domain.models import Recording
from worker.sources import NotARun, Unreadable
from worker.sources.base import (
    AccessRefused,
    Credential,
    ListedActivity,
    NotFound,
    Page,
    RateLimited,
    Source,
    Unavailable,
)
from worker.sources.registry import SOURCES

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Stand:
    """A source with its simulated service, behind a common interface.

    `record` adds an activity, with `kind` "run", "ride" or "rotten". `fault` gives the list's next
    answer a status, or breaks it. `lapse` invalidates the access token. `flooded_bytes` is how much
    of an endless answer was sent.
    """

    source: Source
    credential: Credential
    clock: Clock
    record: Callable[[datetime, float, str], str]
    fault: Callable[[str, int], None]
    lapse: Callable[[], None]
    flooded_bytes: Callable[[], int]

    def page(self, **more: Any) -> Page:
        return self.source.list_activities(self.credential, now=self.clock.now, **more)

    def rows(self, **more: Any) -> tuple[ListedActivity, ...]:
        return self.page(**more).activities


class SourceContract:
    """Subclass it and define a fixture `stand`."""

    def test_shows_the_newest_first(self, stand: Stand) -> None:
        """In whatever order they were recorded."""
        now = stand.clock.now
        ids = {back: stand.record(now - back * DAY, 6_000.0 + back, "run") for back in (3, 1, 2)}
        assert [row.external_id for row in stand.rows()] == [ids[1], ids[2], ids[3]]

    def test_a_run_is_a_recording_and_the_rest_says_why_not(self, stand: Stand) -> None:
        """An unreadable row is a value with its reason, and affects no other row."""
        now = stand.clock.now
        run = stand.record(now - HOUR, 8_000.0, "run")
        ride = stand.record(now - DAY, 30_000.0, "ride")
        rotten = stand.record(now - 2 * DAY, 5_000.0, "rotten")
        told = {row.external_id: row.parsed for row in stand.rows()}
        assert isinstance(told[run], Recording)
        assert (told[run].external_id, told[run].distance_m) == (run, 8_000.0)
        assert isinstance(told[ride], NotARun)
        assert isinstance(told[rotten], Unreadable)

    def test_pages_follow_one_another_until_there_is_nothing(self, stand: Stand) -> None:
        """Each activity once; then an empty page."""
        now = stand.clock.now
        ids = [stand.record(now - n * DAY, 6_000.0, "run") for n in range(1, 8)]
        pages = [stand.rows(page=number, size=3) for number in (1, 2, 3, 4)]
        assert [row.external_id for page in pages for row in page] == ids
        assert pages[3] == ()

    def test_before_leaves_out_what_began_days_later(self, stand: Stand) -> None:
        """A page of the past shows everything older, and up to a day more."""
        now = stand.clock.now
        ids = [stand.record(now - n * DAY, 6_000.0, "run") for n in range(1, 10)]
        shown = {row.external_id for row in stand.rows(before=now - 5 * DAY)}
        assert shown >= set(ids[5:])
        assert not shown & set(ids[:3])

    def test_gives_the_largest_page_it_names(self, stand: Stand) -> None:
        """The page size that the look back requests works."""
        for n in range(stand.source.largest_page + 5):
            stand.record(stand.clock.now - n * HOUR, 6_000.0, "run")
        assert len(stand.rows(size=stand.source.largest_page)) == stand.source.largest_page

    def test_a_useless_token_is_told_from_a_dead_grant(self, stand: Stand) -> None:
        """It only needs to be refreshed."""
        stand.lapse()
        with pytest.raises(AccessRefused):
            stand.page()

    def test_a_rate_limit_says_until_when(self, stand: Stand) -> None:
        """And is nothing that anybody has to fix."""
        stand.fault("status", 429)
        with pytest.raises(RateLimited) as told:
            stand.page()
        assert told.value.resets_at > stand.clock.now
        assert not told.value.permanent

    @pytest.mark.parametrize(
        ("kind", "status", "for_everybody"),
        [
            ("status", 500, False),
            ("status", 503, False),
            ("nonsense", 200, False),
            ("cut", 200, False),
            ("reset", 200, True),
            ("hang", 200, True),
        ],
    )
    def test_trouble_passes_and_is_said_in_words(
        self, stand: Stand, kind: str, status: int, for_everybody: bool
    ) -> None:
        """It's tried again later; a failure of all answers is the service's, not the athlete's."""
        stand.record(stand.clock.now - HOUR, 8_000.0, "run")
        stand.fault(kind, status)
        with pytest.raises(Unavailable) as told:
            stand.page()
        assert not told.value.permanent
        assert told.value.for_everybody is for_everybody
        assert len(stand.rows()) == 1

    @pytest.mark.parametrize("kind", ["slow head", "slow chunk line"])
    def test_an_answer_in_drops_ends_at_the_deadline(self, stand: Stand, kind: str) -> None:
        """Each byte arrives in time, but the whole answer never would."""
        stand.fault(kind, 200)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="in time") as told:
            stand.page()
        assert told.value.for_everybody
        assert time.monotonic() - began < LONGEST_FAULT_S / 2

    @pytest.mark.parametrize("kind", ["endless trailers", "endless continues"])
    def test_an_answer_without_end_ends_at_the_largest_there_is(
        self, stand: Stand, kind: str
    ) -> None:
        """Also before its body, and after it."""
        stand.fault(kind, 200)
        with pytest.raises(Unavailable):
            stand.page()
        assert stand.flooded_bytes() < stand.source.largest_answer_bytes + 2**23

    def test_what_was_saved_of_an_activity_reads_as_it_did(self, stand: Stand) -> None:
        """The payload has everything that the recording is made from."""
        stand.record(stand.clock.now - HOUR, 8_000.0, "run")
        (row,) = stand.rows()
        assert stand.source.parse(json.loads(row.payload)) == row

    def test_whatever_it_is_told_is_a_value(self, stand: Stand) -> None:
        """No possible row of a list raises."""
        for rotten in (None, [], "x", 7, {}, {"id": {}}, {"activityId": []}):
            assert isinstance(stand.source.parse(rotten).parsed, Unreadable)

    def test_a_files_bytes_come_where_it_has_files(self, stand: Stand) -> None:
        """If the service has no files, it answers as for an activity without one."""
        run = stand.record(stand.clock.now - HOUR, 8_000.0, "run")
        if stand.source.has_files:
            assert stand.source.download(stand.credential, run, now=stand.clock.now)
        else:
            with pytest.raises(NotFound):
                stand.source.download(stand.credential, run, now=stand.clock.now)

    def test_headers_of_every_answer_are_told(self, stand: Stand) -> None:
        """Also of refusals: they say how many calls are left."""
        heard: list[Mapping[str, str]] = []
        stand.page(observe=heard.append)
        stand.fault("status", 429)
        with pytest.raises(RateLimited):
            stand.page(observe=heard.append)
        assert len(heard) == 2

    def test_never_shows_its_secrets(self, stand: Stand) -> None:
        """They are kept out of texts that may be logged."""
        shown = repr(stand.credential) + repr(stand.source)
        assert not any(secret in shown for secret in stand.credential.secrets)

    def test_is_a_line_of_the_registry(self, stand: Stand) -> None:
        """Under the name of its section in the settings."""
        assert type(stand.source) in SOURCES
        assert stand.source.name in Settings.model_fields
