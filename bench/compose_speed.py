"""How long composing takes on one core: an alert with its charts, a weekly mail with its chart.

    python bench/compose_speed.py [COUNT]

Prints the median and the 95th percentile of CPU milliseconds a mail, after the first one, and how
many weekly mails that makes a second; then the parts of it.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulators import mail_facts as made
from worker.links import Signer
from worker.notify import Composer
from worker.notify.png import chart_png
from worker.notify.render import SHIPPED, Locale, TemplateLoader
from worker.notify.weekly import week_chart


def measured(work: Callable[[], object], count: int) -> list[float]:
    """CPU milliseconds of each of `count` calls, after one warm-up call."""
    work()
    taken = []
    for _ in range(count):
        begun = time.process_time()
        work()
        taken.append((time.process_time() - begun) * 1000)
    return taken


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    begun = time.process_time()
    signer = Signer(["made for the bench"], "https://easeback.example.org")
    composer = Composer(signer=signer, checkins=True)
    composer.weekly(made.weekly_facts())
    print(f"first mail, everything loaded: {(time.process_time() - begun) * 1000:.0f} ms")
    facts, week = made.alert_facts(), made.week_after_the_jump()
    loader = TemplateLoader()
    words = loader.words("text", Locale())
    drawn, _ = week_chart(week.weeks, words, mean_m=20_000) or (None, "")
    assert drawn is not None
    svg, font = loader.svg(drawn, title=""), SHIPPED / "chart" / "inter.otf"
    rows: dict[str, Callable[[], object]] = {
        "alert, two charts": lambda: composer.alert(facts),
        "alert, one chart": lambda: composer.alert(made.alert_facts("ramp")),
        "weekly": lambda: composer.weekly(week),
        "notice, no chart": lambda: composer.notice(made.notice_facts()),
        "chart worked out": lambda: week_chart(week.weeks, words, mean_m=20_000),
        "chart as SVG": lambda: loader.svg(drawn, title=""),
        "chart as PNG": lambda: chart_png(svg, font=font),
    }
    for name, work in rows.items():
        taken = measured(work, count)
        median, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        rate = f"   {1000 / statistics.fmean(taken):.0f} a second" if name == "weekly" else ""
        print(f"{name:28} median {median:6.2f} ms   p95 {p95:6.2f} ms{rate}")


if __name__ == "__main__":
    main()
