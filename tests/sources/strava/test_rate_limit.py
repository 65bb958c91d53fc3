"""The remaining calls: shares, windows, several workers at once."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from simulators.strava.limits import Limit as MadeLimit
from simulators.strava.limits import Limits
from worker.sources.rate_limit import Limit, Purpose, Windows

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)


def allows(limit: Windows, purpose: Purpose, now: datetime) -> bool:
    return limit.opens_at(purpose, now) <= now


def budget(quarter_used: int = 0, day_used: int = 0) -> Windows:
    return Windows(NOW, read=Limit(100, 1000, quarter_used, day_used))


def test_everything_is_allowed_until_a_limit_has_been_heard_of() -> None:
    """The first call reveals the limits; none is assumed."""
    assert allows(Windows(NOW), "history", NOW)


def test_the_headers_are_read_whatever_their_case() -> None:
    """Header names come in several spellings."""
    told = Windows(NOW).observe(
        {
            "X-Ratelimit-Limit": "200,2000",
            "x-ratelimit-usage": "8,151",
            "X-ReadRateLimit-Limit": "100,1000",
            "X-READRATELIMIT-USAGE": "7,150",
        },
        NOW,
    )
    assert told == Windows(NOW, read=Limit(100, 1000, 7, 150), overall=Limit(200, 2000, 8, 151))


def test_headers_that_say_nothing_readable_change_nothing() -> None:
    """No header, or one that isn't two numbers, is ignored."""
    known = budget(5, 5)
    assert known.observe({}, NOW) == known
    assert known.observe({"X-Ratelimit-Limit": "many", "X-Ratelimit-Usage": "1"}, NOW) == known


def test_stops_at_nine_tenths_for_new_runs_and_at_seven_for_history() -> None:
    """A fifth of the limit is reserved for new runs, a tenth is never used."""
    assert allows(budget(89), "new", NOW)
    assert not allows(budget(90), "new", NOW)
    assert allows(budget(69), "history", NOW)
    assert not allows(budget(70), "history", NOW)


def test_the_tighter_of_the_two_limits_counts() -> None:
    """Reads may be left while the overall limit is used up."""
    tight = Windows(NOW, read=Limit(100, 1000), overall=Limit(200, 2000, 180, 180))
    assert not allows(tight, "new", NOW)


def test_opens_with_the_next_quarter_or_the_next_day() -> None:
    """Whichever window is used up, it opens exactly at its end."""
    assert budget(90).opens_at("new", NOW) == NOW.replace(minute=15)
    assert budget(90, 900).opens_at("new", NOW) == datetime(2026, 3, 3, tzinfo=UTC)
    assert budget().opens_at("new", NOW) == NOW


def test_a_refusal_closes_everything_until_it_says() -> None:
    """After a 429 no call is made before the window ends, whatever was counted."""
    closed = budget().closed({}, now=NOW, until=NOW.replace(minute=15))
    assert not allows(closed, "new", NOW)
    assert allows(closed, "new", NOW.replace(minute=15))


def test_a_refusal_waits_for_midnight_only_where_the_day_is_gone() -> None:
    """The refusal's headers say which window it was."""
    assert budget(100, 500).resets_at(NOW) == NOW.replace(minute=15)
    assert budget(100, 1000).resets_at(NOW) == datetime(2026, 3, 3, tzinfo=UTC)


def test_a_clock_that_was_ahead_leaves_nothing_used_up_or_closed() -> None:
    """What was counted and refused then belongs to windows that never were."""
    ahead = NOW + timedelta(days=3)
    counted = Windows(ahead, read=Limit(100, 1000, 90, 900), closed_until=ahead)
    assert allows(counted, "new", NOW)
    _, counted = counted.reserve("new", NOW)
    assert counted.read == Limit(100, 1000, 1, 1)
    told = counted.observe(
        {"x-readratelimit-limit": "100,1000", "x-readratelimit-usage": "95,95"}, NOW
    )
    assert told.opens_at("new", NOW) == NOW.replace(minute=15)


def test_answers_that_overtake_each_other_never_lower_the_count() -> None:
    """Two workers' answers arrive in the wrong order: the highest usage counts."""
    late = Windows(NOW, read=Limit(100, 1000, 40, 400))
    early = Windows(NOW, read=Limit(100, 1000, 39, 399))
    assert late.merged(early) == early.merged(late) == late


def test_an_answer_from_the_quarter_before_says_nothing_of_this_one() -> None:
    """Its usage of the day still counts."""
    now = NOW.replace(minute=15, second=1)
    mine = Windows(now, read=Limit(100, 1000, 1, 96))
    told = Windows(NOW, read=Limit(100, 1000, 95, 95))
    assert mine.merged(told) == mine


@given(
    st.lists(
        st.tuples(st.sampled_from(["new", "history"]), st.integers(0, 400)),
        min_size=1,
        max_size=300,
    ),
    st.integers(5, 60),
)
def test_never_ends_in_a_refusal(wishes: list[tuple[str, int]], per_quarter: int) -> None:
    """For any requests at any times, the service never counts a call too many."""
    limits = Limits(
        overall=MadeLimit("Ratelimit", 2 * per_quarter, 20 * per_quarter),
        read=MadeLimit("Readratelimit", per_quarter, 10 * per_quarter),
    )
    known, now = Windows(NOW), NOW
    for purpose, wait_s in wishes:
        now += timedelta(seconds=wait_s)
        if allows(known, purpose, now):  # type: ignore[arg-type]  # sampled from the two
            _, known = known.reserve(purpose, now)  # type: ignore[arg-type]  # as above
            assert limits.count(now)
            known = known.observe(limits.headers(now), now)
