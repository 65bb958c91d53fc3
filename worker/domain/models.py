"""The data model that every other package uses.

Frozen values only. Distances are in metres, durations in seconds, instants are aware UTC, and a
*day* is the athlete's local date. Nothing here reads, writes, computes or knows the time.
"""

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

Sport = Literal["run", "trail", "track", "treadmill", "virtual"]
SourceName = str
"""`inbox`, `import`, `manual`, or the name of a service's section in the settings."""

MANUAL: SourceName = "manual"
"""What the athlete entered about a run, which overrides every source."""

Units = Literal["km", "mi"]
Dial = Literal["24", "12"]
Kind = Literal["run", "return", "ramp", "month"]
MailKind = Literal["alert", "weekly", "reconnect", "notice"]

LANGUAGE = r"[a-z]{2,8}(-[a-z0-9]{2,8})*"
"""A language: its BCP 47 tag in lower case, such as "de"."""

METRES_PER: dict[Units, float] = {"km": 1000.0, "mi": 1609.344}
LARGEST_ID = 2**63 - 1
"""The largest id of a row in any database."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PAIN_AREAS = ("buttock", "low_back", "hip_front", "hip_side", "groin", "thigh", "knee",
              "shin", "calf", "achilles", "ankle", "foot")  # fmt: skip


@dataclass(frozen=True, slots=True)
class WeeklyHour:
    """When the weekly mail is due, in the athlete's local time; `weekday` 0 is Monday."""

    weekday: int = 0
    at: time = time(7, 0)

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {self.at:%H:%M}"


LONGEST_RACE_M = 1_000_000


@dataclass(frozen=True, slots=True)
class Race:
    """The race an athlete trains for."""

    name: str
    day: date
    distance_m: float


@dataclass(frozen=True, slots=True)
class Athlete:
    """A runner who gets mail.

    `week_starts` is 0 for Monday, 6 for Sunday; `clock` is 12 or 24 hours. `language` is the one
    they chose, or "" for the operator's. `link_id` identifies them in signed links; the store
    assigns it and never reuses it. No mail is sent to them after `paused_at`.
    """

    id: int
    name: str
    email: str
    added_at: datetime
    timezone: str = "UTC"
    units: Units = "km"
    week_starts: int = 0
    weekly: WeeklyHour = WeeklyHour()
    pain: tuple[str, ...] = ()
    race: Race | None = None
    wants: frozenset[MailKind] = frozenset({"alert", "weekly", "reconnect", "notice"})
    clock: Dial = "24"
    language: str = ""
    link_id: str = ""
    paused_at: datetime | None = None

    def gets(self, kind: MailKind) -> bool:
        """Whether mails of this kind are sent to them: they want them, and mail isn't paused."""
        return kind in self.wants and self.paused_at is None


def folder_name(name: str) -> str:
    """An athlete's name in the form by which folder names are compared.

    Unicode normalization and case don't matter: macOS returns decomposed names, and many file
    systems ignore case.
    """
    return unicodedata.normalize("NFC", name).casefold().strip()


@dataclass(frozen=True, slots=True)
class Recording:
    """One run as one source has it. Several recordings may be one run (see `matching`).

    `external_id` is the source's own id for it and survives edits. `sha256` is the digest of the
    file's bytes, if there is a file. `leg` counts the running legs of one multisport file from 0.
    `device` says that a watch measured it, `edited` that the athlete changed it at the source.
    `file_name` is the file's name without its extension, by which a source that received the file
    knows it. `note` says what had to be recovered, or is None. `ascent_m` are the metres of
    ascent, or None if unknown.

    `account` marks what the table of an account's export says about an activity, which includes
    its owner's corrections.

    Recordings of the source `manual` are runs that the athlete added, and corrections of other
    recordings: `about` is the `key` of the one that is corrected or, if `excluded` is set, left
    out. The `note` of a correction says who made it. An account's row with another sport is such
    a correction too, of everything recorded of that activity; as there is no other key, its
    `about` is its own key.
    """

    source: SourceName
    external_id: str
    started_at: datetime
    day: date
    distance_m: float
    moving_s: float | None
    elapsed_s: float | None
    sport: Sport = "run"
    is_race: bool = False
    device: bool = False
    edited: bool = False
    hidden_start: bool = False
    title: str = ""
    sha256: str | None = None
    leg: int = 0
    note: str | None = None
    file_name: str = ""
    about: str = ""
    excluded: bool = False
    account: bool = False
    ascent_m: float | None = None

    @property
    def key(self) -> str:
        """Identifies the recording among the athlete's: its source and external id."""
        return f"{self.source}:{self.external_id}"


@dataclass(frozen=True, slots=True)
class Run:
    """A run that counts: the best of its recordings. `ascent_m` is None if unknown."""

    id: int
    started_at: datetime
    day: date
    distance_m: float
    moving_s: float | None = None
    elapsed_s: float | None = None
    sport: Sport = "run"
    is_race: bool = False
    ascent_m: float | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Runs less than an hour apart, which are one effort for the body.

    `distance_m` is the sum of what they count as (`history.counted_m`).
    """

    day: date
    started_at: datetime
    distance_m: float
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the detector found on a day: `observed_m` was more than `baseline_m` prepared for.

    For `run` and `return` both are one session's metres, for `ramp` the sums of seven days.
    `run_id` is the run that exceeded the limit. `severity` is 1, 2 or 3. `race` is set if that run
    was a race ("race") or may have been one judging by its distance ("maybe"). `retraining` says
    that an easy season preceded it.
    """

    day: date
    kind: Kind
    run_id: int
    severity: int
    observed_m: float
    baseline_m: float
    race: Literal["race", "maybe"] | None = None
    retraining: bool = False

    @property
    def ratio(self) -> float:
        """Observed ÷ baseline."""
        return self.observed_m / self.baseline_m


@dataclass(frozen=True, slots=True)
class Signal:
    """One rule applied to one day: its numbers, whether it fired, and if not, why.

    `limit_m` is the most that the rule allows. `against` is the day of the session, or the last of
    the seven days, that the baseline comes from. `held_by` says in words why it didn't fire, or is
    None. `source` is the paper or the coach's rule behind it.
    """

    kind: Kind
    observed_m: float
    baseline_m: float | None
    limit_m: float | None
    fired: bool
    severity: int
    held_by: str | None
    against: date | None
    source: str


@dataclass(frozen=True, slots=True)
class Season:
    """Re-training after an easy season: its volume, the usual volume, and the ramps of two years.

    `easiest_m` is the smallest volume of the season, which ended on `easiest_on`; `usual_m` is a
    high percentile of the volumes of the year before. The weekly sums of this ramp and of last
    year's begin after the easiest day of each; last year's may be empty.
    """

    easiest_on: date
    easiest_m: float
    usual_m: float
    this_ramp_m: tuple[float, ...] = ()
    last_ramp_m: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that was judged on one day."""

    day: date
    signals: tuple[Signal, ...]
    findings: tuple[Finding, ...]
    season: Season | None = None


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days from the athlete's first weekday: sums in metres and seconds, number of runs."""

    starts_on: date
    distance_m: float
    runs: int
    longest_m: float
    moving_s: float


WeekKind = Literal["gentle", "build", "hold", "easy", "taper", "rest"]
PlanState = Literal["unknown", "open", "on track", "tight", "short", "see somebody"]


@dataclass(frozen=True, slots=True)
class PlannedWeek:
    """A week of a plan, in metres: the most of all its runs together, and its long run.

    `long_m` is 0 and `long_on` None if the week has no long run; `easy_m` are its other runs. The
    week of a race doesn't include the race. `is_used_up`: it is the current week, and its runs have
    left nothing of what it allows.
    """

    starts_on: date
    kind: WeekKind
    week_m: float
    long_m: float
    long_on: date | None
    easy_m: tuple[float, ...] = ()
    is_used_up: bool = False

    @property
    def next_starts_on(self) -> date:
        """The first day of the week after it."""
        return self.starts_on + timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """The weeks from the one that contains `day`, up to a race if one was asked about.

    Without a race there is one week. There are no weeks if nothing can be planned; `reason` says
    why. If the race is too soon, `reason` says how far the plan gets, `state` is `short`, and
    `weeks_short` is the number of weeks by which the race would have to be later; otherwise that
    is 0. `basis` says what the first week is based on.
    """

    day: date
    state: PlanState
    weeks: tuple[PlannedWeek, ...] = ()
    weeks_short: int = 0
    reason: str = ""
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The longest next run and the most of this week, in metres, according to the plan of `day`.

    `next_run_m` and `week_m` are None if nothing can be planned; `basis` says in words what they
    are based on, or why there are none. `longest_window_m` is the longest session in the window of
    the run rule.
    """

    day: date
    next_run_m: float | None
    week_m: float | None
    week_done_m: float
    longest_window_m: float
    basis: str


@dataclass(frozen=True, slots=True)
class Email:
    """A composed mail, before serialization. `extra_headers` never contain untrusted text."""

    kind: MailKind
    recipient: str
    subject: str
    text: str
    html: str
    images: tuple[tuple[str, bytes], ...] = ()
    extra_headers: tuple[tuple[str, str], ...] = ()
