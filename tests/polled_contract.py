"""What every polled source promises: the tests that each one's adapter has to pass."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.strava.clock import Clock
from worker.model import Recording
from worker.sources import NotARun, Unreadable, polled

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Stand:
    """A source with the service made for it, spoken to in the same words.

    `record` adds an activity, with `kind` "run", "ride" or "rotten"; `fault` lets the next answer
    to the list be of a status, or break; `lapse` makes the access token useless.
    """

    source: polled.PolledSource[Any]
    grant: Any
    clock: Clock
    largest_page: int
    record: Callable[[datetime, float, str], str]
    fault: Callable[[str, int], None]
    lapse: Callable[[], None]

    def page(self, **more: Any) -> polled.ListedPage:
        return self.source.page(self.grant, now=self.clock.now, **more)


class PolledContract:
    """Subclass it with a fixture `stand`."""

    def test_shows_the_newest_first(self, stand: Stand) -> None:
        """In whatever order they were recorded."""
        now = stand.clock.now
        ids = {back: stand.record(now - back * DAY, 6_000.0 + back, "run") for back in (3, 1, 2)}
        assert [row.external_id for row in stand.page().rows] == [ids[1], ids[2], ids[3]]

    def test_a_run_is_a_recording_and_the_rest_says_why_not(self, stand: Stand) -> None:
        """One bad row is a value with its reason, and costs no other."""
        now = stand.clock.now
        run = stand.record(now - HOUR, 8_000.0, "run")
        ride = stand.record(now - DAY, 30_000.0, "ride")
        rotten = stand.record(now - 2 * DAY, 5_000.0, "rotten")
        told = {row.external_id: row.reading for row in stand.page().rows}
        assert isinstance(told[run], Recording)
        assert (told[run].external_id, told[run].distance_m) == (run, 8_000.0)
        assert isinstance(told[ride], NotARun)
        assert isinstance(told[rotten], Unreadable)

    def test_pages_follow_one_another_until_there_is_nothing(self, stand: Stand) -> None:
        """Each activity once; then an empty page."""
        now = stand.clock.now
        ids = [stand.record(now - n * DAY, 6_000.0, "run") for n in range(1, 8)]
        pages = [stand.page(number=number, size=3).rows for number in (1, 2, 3, 4)]
        assert [row.external_id for page in pages for row in page] == ids
        assert pages[3] == ()

    def test_before_leaves_out_what_began_days_later(self, stand: Stand) -> None:
        """A page of the past shows all that's older, and perhaps a day more."""
        now = stand.clock.now
        ids = [stand.record(now - n * DAY, 6_000.0, "run") for n in range(1, 10)]
        shown = {row.external_id for row in stand.page(before=now - 5 * DAY).rows}
        assert shown >= set(ids[5:])
        assert not shown & set(ids[:3])

    def test_gives_the_largest_page_it_names(self, stand: Stand) -> None:
        """The size that the look back asks for works."""
        for n in range(stand.largest_page + 5):
            stand.record(stand.clock.now - n * HOUR, 6_000.0, "run")
        assert len(stand.page(size=stand.largest_page).rows) == stand.largest_page

    def test_a_useless_token_is_told_from_a_dead_grant(self, stand: Stand) -> None:
        """It only needs another."""
        stand.lapse()
        with pytest.raises(polled.AccessRefused):
            stand.page()

    def test_a_rate_limit_says_until_when(self, stand: Stand) -> None:
        """And is nothing that anybody has to mend."""
        stand.fault("status", 429)
        with pytest.raises(polled.RateLimited) as told:
            stand.page()
        assert told.value.resets_at > stand.clock.now
        assert not told.value.permanent

    @pytest.mark.parametrize(
        ("kind", "status", "error"),
        [
            ("status", 500, polled.Unavailable),
            ("status", 503, polled.Unavailable),
            ("nonsense", 200, polled.Unavailable),
            ("cut", 200, polled.Unavailable),
            ("reset", 200, polled.Unreachable),
            ("hang", 200, polled.Unreachable),
        ],
    )
    def test_trouble_passes_and_is_said_in_words(
        self, stand: Stand, kind: str, status: int, error: type[polled.Unavailable]
    ) -> None:
        """It's asked again later; the next answer is taken as ever."""
        stand.record(stand.clock.now - HOUR, 8_000.0, "run")
        stand.fault(kind, status)
        with pytest.raises(error) as told:
            stand.page()
        assert not told.value.permanent
        assert len(stand.page().rows) == 1
