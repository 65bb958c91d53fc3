"""The files of the demo: each mail under a name with its kind, and one page about all.

The pages are files that ask the network for nothing, and run no script.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from worker.demo import runner
from worker.demo.scene import Scene
from worker.demo.stage import PlayedSeason
from worker.domain.models import Email, MailKind, Week
from worker.notify.render import standalone
from worker.store import StoredFinding

_TEMPLATE = "page.html"
_CHART_WIDTH, _CHART_HEIGHT, _FLOOR, _CEILING = 960.0, 250.0, 214.0, 34.0
_BAR_SHARE = 0.66


@dataclass(frozen=True, slots=True)
class DemoMail:
    """A mail of the demo: its day on the runner's calendar, and the file names of both forms."""

    day: date
    kind: MailKind
    subject: str
    eml: str
    html: str


def write_pages(scene: Scene, season: PlayedSeason) -> tuple[DemoMail, ...]:
    """Name the mails for their kinds, write how they look, and the page about all of it."""
    letters = tuple(_letters(scene, season))
    scene.page.write_text(_page(season, letters), "utf-8")
    return letters


def _letters(scene: Scene, season: PlayedSeason) -> Iterator[DemoMail]:
    zone = ZoneInfo(season.athlete.timezone)
    taken: Counter[str] = Counter()
    for file in sorted(season.mailbox.glob("*.eml")):
        message = message_from_bytes(file.read_bytes(), policy=policy.default)
        kind = cast("MailKind", str(message["X-Easeback-Kind"]))
        day = parsedate_to_datetime(str(message["Date"])).astimezone(zone).date()
        stem = f"{day}-{kind}"
        taken[stem] += 1
        name = stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"
        letter = DemoMail(day, kind, str(message["Subject"]), f"{name}.eml", f"{name}.html")
        (scene.folder / letter.html).write_text(standalone(_email(message, kind)), "utf-8")
        file.rename(scene.folder / letter.eml)
        yield letter


def _email(message: EmailMessage, kind: MailKind) -> Email:
    """A mail as it was before it became bytes, as far as a page shows it."""
    parts = {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}
    images = tuple(
        (str(part["Content-ID"]).strip("<>"), part.get_content())
        for part in message.walk()
        if part.get_content_maintype() == "image"
    )
    return Email(
        kind=kind,
        recipient=str(message["To"]),
        subject=str(message["Subject"]),
        text=parts["text/plain"].get_content(),
        html=parts["text/html"].get_content(),
        images=images,
    )


def _page(season: PlayedSeason, letters: Sequence[DemoMail]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    alerts = [letter for letter in letters if letter.kind == "alert"]
    return templates.get_template(_TEMPLATE).render(
        name=season.athlete.name,
        race=runner.GOAL_RACE,
        runs=season.runs,
        weeks=len(season.weeks),
        width=_CHART_WIDTH,
        height=_CHART_HEIGHT,
        floor=_FLOOR,
        bars=list(_bars(season.weeks, season.found, alerts)),
        letters=letters,
        alerts=alerts,
        shown=max(alerts, key=lambda letter: _weight(letter, season.found), default=letters[0]),
    )


def _weight(letter: DemoMail, found: Sequence[StoredFinding]) -> float:
    """How far the run of an alert went beyond what was prepared for."""
    return max((f.finding.ratio for f in found if f.notified_on == letter.day), default=0.0)


def _bars(
    weeks: Sequence[Week], found: Sequence[StoredFinding], alerts: Sequence[DemoMail]
) -> Iterator[dict[str, object]]:
    """A week of the chart; `letter` is the alert of that week, `noticed` what wasn't mailed."""
    step = _CHART_WIDTH / len(weeks)
    most_m = max(week.distance_m for week in weeks)
    month = 0
    for number, week in enumerate(weeks):
        span = (week.starts_on, week.starts_on + timedelta(days=6))
        height = (_FLOOR - _CEILING) * week.distance_m / most_m
        is_new_month = week.starts_on.month != month
        month = week.starts_on.month
        alerted = (one for one in alerts if span[0] <= one.day <= span[1])
        quiet = [one.finding.day for one in found if one.notified_on is None]
        yield {
            "week": week,
            "x": round(number * step + step * (1 - _BAR_SHARE) / 2, 1),
            "y": round(_FLOOR - height, 1),
            "width": round(step * _BAR_SHARE, 1),
            "height": round(height, 1),
            "letter": next(alerted, None),
            "noticed": any(span[0] <= day <= span[1] for day in quiet),
            "month": f"{week.starts_on:%b}" if is_new_month else "",
        }
