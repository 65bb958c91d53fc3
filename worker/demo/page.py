"""The demo's output: each mail in a file named after its kind, and one page about all of them.

The pages load nothing from the network and run no script.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from worker.demo import runner
from worker.demo.folder import DemoFolder
from worker.demo.simulation import SimulatedSeason
from worker.domain.models import Email, MailKind
from worker.notify.render import standalone

_LAST_OF_WEEK = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class DemoMail:
    """A mail of the demo: the runner's local day, and the file names of both formats."""

    day: date
    kind: MailKind
    subject: str
    eml: str
    html: str


def write_pages(
    folder: DemoFolder, season: SimulatedSeason, beside: DemoFolder, by_feel: SimulatedSeason
) -> tuple[DemoMail, ...]:
    """Rename the mails after their kinds, write them as HTML, and write the overview page.

    `by_feel` is the season of the runner who doesn't follow the plan; its mails are in the folder
    `beside`, which is inside `folder`. Returns the mails of the first season.
    """
    mails = tuple(_mails(folder, season))
    others = tuple(
        replace(mail, html=f"{beside.path.name}/{mail.html}") for mail in _mails(beside, by_feel)
    )
    folder.page.write_text(_page(season, mails, by_feel, others), "utf-8")
    return mails


def _mails(folder: DemoFolder, season: SimulatedSeason) -> Iterator[DemoMail]:
    zone = ZoneInfo(season.athlete.timezone)
    taken: Counter[str] = Counter()
    for file in sorted(season.mailbox.glob("*.eml")):
        message = message_from_bytes(file.read_bytes(), policy=policy.default)
        kind = cast("MailKind", str(message["X-Easeback-Kind"]))
        day = parsedate_to_datetime(str(message["Date"])).astimezone(zone).date()
        stem = f"{day}-{kind}"
        taken[stem] += 1
        name = stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"
        mail = DemoMail(day, kind, str(message["Subject"]), f"{name}.eml", f"{name}.html")
        (folder.path / mail.html).write_text(standalone(_email(message, kind)), "utf-8")
        file.rename(folder.path / mail.eml)
        yield mail


def _email(message: EmailMessage, kind: MailKind) -> Email:
    """The composed mail from a message, as far as a page shows it."""
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


def _page(
    season: SimulatedSeason,
    mails: Sequence[DemoMail],
    by_feel: SimulatedSeason,
    others: Sequence[DemoMail],
) -> str:
    from jinja2 import StrictUndefined, Template

    template = Template(
        Path(__file__).with_name("page.html").read_text("utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    alerts = [mail for mail in mails if mail.kind == "alert"]
    most_m = max(week.distance_m for week in (*season.weeks, *by_feel.weeks))
    mailed = [one for one in season.found if one.notified_on is not None]
    largest = max(mailed, key=lambda one: one.finding.ratio)
    page: str = template.render(
        name=season.athlete.name,
        other=by_feel.athlete.name,
        race=runner.GOAL_RACE,
        follows_from=runner.FOLLOWS_FROM,
        runs=season.runs,
        charts=(
            (season.athlete.name, True, _bars(season, alerts, most_m)),
            (by_feel.athlete.name, False, _bars(by_feel, others, most_m)),
        ),
        mails=mails,
        alerts=alerts,
        others=others,
        shown=next(one for one in alerts if one.day == largest.notified_on),
    )
    return page


def _bars(
    season: SimulatedSeason, alerts: Sequence[DemoMail], most_m: float
) -> list[dict[str, object]]:
    """The weeks of a season, each with its height, its alert, and whether it has other findings."""
    only_noticed = [one.finding.day for one in season.found if one.notified_on is None]
    return [
        {
            "week": week,
            "percent": round(100 * week.distance_m / most_m, 1),
            "alert": next((one for one in alerts if week.starts_on <= one.day <= last), None),
            "is_noticed": any(week.starts_on <= day <= last for day in only_noticed),
        }
        for week in season.weeks
        for last in [week.starts_on + _LAST_OF_WEEK]
    ]
