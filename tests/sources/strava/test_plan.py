"""Which page is requested next, and what its rows prove, with lists as the service makes them."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from simulators.strava import bodies
from simulators.strava.accounts import Account, Activity, Diary
from worker.sources.base import ListedActivity
from worker.sources.polling import (
    DOUBT,
    QUIET_PAGE,
    Shown,
    Standing,
    Window,
    after_history,
    after_newest,
    newest,
    next_poll_at,
    vanished,
)
from worker.sources.strava.parse import parse_strava_activity

NOW = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
DAY = timedelta(days=1)
REACH = 400 * DAY
RUNNER = Account(1, "Mira", "Made")
EVERY = timedelta(minutes=15)


def page(
    diary: Diary, number: int = 1, size: int = 200, before: datetime | None = None
) -> list[ListedActivity]:
    cut = before.timestamp() if before else None
    listed = diary.listed(RUNNER, private_too=True, after=None, before=cut)
    slots = listed[(number - 1) * size : number * size]
    return [parse_strava_activity(bodies.row(a)) for a in slots if not a.ghost]


def read_newest(diary: Diary, standing: Standing, now: datetime = NOW) -> tuple[Shown, Window]:
    window = newest(standing, now=now, reach=REACH)
    shown = Shown()
    while not (shown.stuck or shown.covers(window)):
        shown = shown.with_page(page(diary, shown.pages + 1, window.page_size))
    return shown, window


def starts(activities: list[Activity]) -> dict[str, datetime]:
    return {str(a.id): a.started_at for a in activities}


def diary_of(count: int, every: timedelta = 2 * DAY) -> tuple[Diary, list[Activity]]:
    diary = Diary()
    return diary, diary.weeks_of_runs(RUNNER, NOW - timedelta(hours=1), count, every=every)


SETTLED = Standing(NOW - EVERY, NOW - REACH, NOW - timedelta(hours=2))


class TestThePoll:
    def test_a_quiet_one_is_one_small_page(self) -> None:
        """A page that reaches past the week proves that the whole week was shown."""
        diary, _ = diary_of(200)
        shown, window = read_newest(diary, SETTLED)
        assert (shown.pages, window.page_size) == (1, QUIET_PAGE)

    def test_looks_back_42_days_once_a_day(self) -> None:
        """Edits come without an event; a day after the last look back it's due again."""
        assert newest(SETTLED, now=NOW, reach=REACH).since == NOW - EVERY - 7 * DAY
        later = NOW - timedelta(hours=2) + DAY
        assert newest(SETTLED, now=later, reach=REACH).since == later - 42 * DAY

    def test_after_an_outage_reads_from_a_week_before_it(self) -> None:
        """After two months the window begins a week before the last poll."""
        standing = Standing(NOW - 60 * DAY, NOW - REACH, NOW - timedelta(hours=2))
        assert newest(standing, now=NOW, reach=REACH).since == NOW - 67 * DAY

    def test_never_reads_further_back_than_wanted(self) -> None:
        """If runs are kept for 30 days the look back ends there too."""
        window = newest(Standing(), now=NOW, reach=30 * DAY)
        assert window.since == NOW - 30 * DAY

    def test_reads_on_where_a_page_does_not_reach_the_end(self) -> None:
        """Forty activities in a week: one small page isn't enough."""
        diary, made = diary_of(80, every=timedelta(hours=4))
        shown, _ = read_newest(diary, SETTLED)
        assert shown.pages == 2
        assert starts(made[:42]).keys() <= shown.ids

    def test_a_short_page_proves_as_much_as_a_full_one(self) -> None:
        """Ghosts shorten a page; what it proves depends on its last row."""
        diary, made = diary_of(200)
        for ghost in made[3:9]:
            ghost.ghost = True
        shown, window = read_newest(diary, SETTLED)
        assert shown.covers(window)
        assert shown.pages == 1

    def test_a_list_out_of_order_proves_nothing_until_it_ends(self) -> None:
        """Oldest first: the last row is the newest, so reading continues to the empty page."""
        diary, _ = diary_of(25, every=timedelta(hours=12))
        upside_down = list(reversed(page(diary)))
        shown = Shown().with_page(upside_down)
        assert not shown.covers(Window(NOW - 7 * DAY, 30))
        assert shown.with_page([]).covers(Window(NOW - 7 * DAY, 30))

    def test_a_page_that_only_repeats_ends_the_reading(self) -> None:
        """A service that repeats its first page must not be read forever."""
        diary, _ = diary_of(3, every=timedelta(hours=5))
        window = Window(NOW - 7 * DAY, 3)
        shown = Shown().with_page(page(diary)).with_page(page(diary))
        assert shown.stuck
        assert not shown.covers(window)

    def test_a_hidden_start_as_the_last_row_proves_a_day_less(self) -> None:
        """Its start is shown up to a day early, so a morning run that day isn't proven."""
        diary, made = diary_of(1)
        evening = diary.add(RUNNER, datetime(2026, 2, 26, 19, tzinfo=UTC), hidden_start=True)
        morning = diary.add(RUNNER, datetime(2026, 2, 26, 6, tzinfo=UTC))
        shown = Shown().with_page(page(diary, size=2))
        assert shown.ids == {str(made[0].id), str(evening.id)}
        assert shown.reached is not None
        assert shown.reached > morning.started_at

    def test_one_cut_short_is_read_again(self) -> None:
        """If the budget ended the reading, the position doesn't advance."""
        diary, _ = diary_of(80, every=timedelta(hours=4))
        window = newest(SETTLED, now=NOW, reach=REACH)
        shown = Shown().with_page(page(diary, size=QUIET_PAGE))
        assert after_newest(SETTLED, shown, window, now=NOW).read_until == SETTLED.read_until


class TestGone:
    def test_what_must_have_been_shown_and_was_not_is_gone(self) -> None:
        """One run deleted in the middle is found by its absence."""
        diary, made = diary_of(30)
        known = starts(made)
        del diary.activities[made[2].id]
        shown, _ = read_newest(diary, SETTLED)
        assert vanished(shown, known, SETTLED, now=NOW)[0] == {str(made[2].id)}

    def test_what_lies_behind_the_last_page_is_not_judged(self) -> None:
        """An old run beyond the page is still there."""
        diary, made = diary_of(200)
        known = starts(made)
        del diary.activities[made[150].id]
        shown, _ = read_newest(diary, SETTLED)
        assert vanished(shown, known, SETTLED, now=NOW)[0] == frozenset()

    def test_a_rotten_row_is_still_there(self) -> None:
        """A row that has become unreadable isn't deleted."""
        diary, made = diary_of(30)
        made[2].spoilt = {"distance": None}
        shown, _ = read_newest(diary, SETTLED)
        assert vanished(shown, starts(made), SETTLED, now=NOW)[0] == frozenset()

    def test_nothing_at_all_is_believed_a_day_later(self) -> None:
        """The first time it's doubted, until a day has passed; then it's accepted."""
        _, made = diary_of(30)
        known = starts(made)
        shown = Shown().with_page([])
        gone, standing = vanished(shown, known, SETTLED, now=NOW)
        assert (gone, standing.doubted_at) == (frozenset(), NOW)
        gone, standing = vanished(shown, known, standing, now=NOW + DOUBT - EVERY)
        assert gone == frozenset()
        gone, standing = vanished(shown, known, standing, now=NOW + DOUBT)
        assert gone == known.keys()
        assert standing.doubted_at is None

    def test_doubt_ends_when_things_are_shown_again(self) -> None:
        """A temporary failure of the service deletes nothing."""
        diary, made = diary_of(30)
        _, standing = vanished(Shown().with_page([]), starts(made), SETTLED, now=NOW)
        shown, _ = read_newest(diary, standing)
        gone, standing = vanished(shown, starts(made), standing, now=NOW + DOUBT)
        assert (gone, standing.doubted_at) == (frozenset(), None)

    def test_more_than_half_missing_is_doubted_too(self) -> None:
        """A page with a gap looks like many deletions at once."""
        diary, made = diary_of(30)
        known = starts(made)
        for activity in made[1:20]:
            del diary.activities[activity.id]
        gone, standing = vanished(read_newest(diary, SETTLED)[0], known, SETTLED, now=NOW)
        assert (gone, standing.doubted_at) == (frozenset(), NOW)


class TestHistory:
    @given(
        count=st.integers(0, 900),
        hours=st.integers(5, 60),
        ghosts=st.sets(st.integers(0, 899), max_size=20),
        hidden=st.sets(st.integers(0, 899), max_size=20),
    )
    def test_a_first_sync_shows_everything_in_few_calls(
        self, count: int, hours: int, ghosts: set[int], hidden: set[int]
    ) -> None:
        """Every activity as far back as wanted, in at most ceil(N / 200) + 2 calls."""
        diary, made = diary_of(count, every=timedelta(hours=hours))
        for i, activity in enumerate(made):
            activity.ghost = i in ghosts
            activity.hidden_start = i in hidden
        shown, window = read_newest(diary, Standing())
        standing = after_newest(Standing(), shown, window, now=NOW)
        calls, seen = shown.pages, set(shown.ids)
        while standing.history_is_due(NOW, REACH):
            rows = page(diary, before=standing.read_back_to)
            standing = after_history(standing, rows)
            seen |= {row.external_id for row in rows}
            calls += 1
        wanted = [a for a in made if a.started_at > NOW - REACH]
        assert {str(a.id) for a in wanted if not a.ghost} <= seen
        assert calls <= -(-len(made) // 200) + 2

    def test_the_newest_come_first(self) -> None:
        """After one call the newest two hundred are there."""
        diary, made = diary_of(450, every=timedelta(hours=20))
        shown, window = read_newest(diary, Standing())
        standing = after_newest(Standing(), shown, window, now=NOW)
        assert shown.pages == 1
        assert standing.history_is_due(NOW, REACH)
        assert shown.ids == starts(made[:200]).keys()


class TestTheNextPull:
    @given(jitter=st.floats(0, 1))
    def test_comes_within_its_time_and_never_later(self, jitter: float) -> None:
        """Spread over the last fifth of the pause."""
        at = next_poll_at(NOW, every=EVERY, jitter=jitter)
        assert EVERY * 0.79 <= at - NOW <= EVERY

    def test_failures_double_the_pause_up_to_four_hours(self) -> None:
        """15, 30, 60 minutes and so on."""
        pauses = [next_poll_at(NOW, every=EVERY, jitter=0, failures=n) - NOW for n in (0, 1, 2, 90)]
        assert pauses == [EVERY, 2 * EVERY, 4 * EVERY, timedelta(hours=4)]

    def test_waits_for_the_rate_limit(self) -> None:
        """Never before the limit opens, and not all in the same second."""
        opens_at = NOW + timedelta(hours=3)
        early, late = (
            next_poll_at(NOW, every=EVERY, jitter=jitter, not_before=opens_at)
            for jitter in (0.0, 1.0)
        )
        assert early == opens_at
        assert late > early
