"""The chart: an SVG, its PNG, and their legibility on any background."""

import io
import struct
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise, product
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, ImageDraw, ImageFont

from simulators import mail_facts as made
from worker.domain.models import PlannedWeek, Week
from worker.notify import png
from worker.notify.alert import alert_chart, ramps_chart
from worker.notify.chart import Picture
from worker.notify.png import chart_png
from worker.notify.render import SHIPPED, Locale, TemplateLoader
from worker.notify.weekly import week_chart

FONT = SHIPPED / "chart" / "inter.otf"
LOADER = TemplateLoader()
WORDS = LOADER.words("text", Locale())


def png_of(picture: Picture) -> bytes:
    """The picture as in a mail."""
    return chart_png(LOADER.svg(picture, title=""), font=FONT)


def pictures() -> dict[str, Picture]:
    """Every kind of chart."""
    ramps = ramps_chart(made.season(), WORDS)
    facts = made.weekly_facts()
    week = week_chart(
        facts.weeks[-6:], WORDS, mean_m=facts.weeks[-1].distance_m, planned=facts.plan.weeks[:9]
    )
    assert ramps is not None
    assert week is not None
    found = {
        kind: alert_chart(made.alert_facts(kind), WORDS)[0]
        for kind in ("run", "return", "ramp", "month")
    }
    return found | {"ramps": ramps[0], "weeks": week[0]}


def test_the_narrow_space_of_french_is_drawn_though_the_font_has_none() -> None:
    """As a space, not as the box of a missing glyph."""
    svg = LOADER.svg(pictures()["run"], title="")
    assert "before:" in svg
    narrow, wide = (svg.replace("before:", f"before{space}:") for space in "\u202f\u00a0")
    assert chart_png(narrow, font=FONT) == chart_png(wide, font=FONT)


@pytest.mark.parametrize("name", ["run", "return", "ramp", "month", "ramps", "weeks"])
def test_every_chart_is_drawn_at_twice_its_size(name: str) -> None:
    """A small PNG of 800 × 392 pixels from an SVG of 400 × 196."""
    picture = pictures()[name]
    packed = png_of(picture)
    assert packed.startswith(b"\x89PNG")
    assert struct.unpack(">II", packed[16:24]) == (800, 392)
    assert len(packed) < 12_000


@pytest.mark.parametrize("name", ["run", "return", "ramp", "month", "ramps", "weeks"])
def test_nothing_of_a_chart_lies_outside_of_it(name: str) -> None:
    """No bar, line or word begins beyond the edge; no size is negative."""
    picture = pictures()[name]
    svg = LOADER.svg(picture, title="A chart")
    root = ET.fromstring(svg)  # noqa: S314 - made here
    for element in root.iter():
        if "height" in element.attrib and element is not root:
            assert float(element.attrib["height"]) >= 0
            assert float(element.attrib["y"]) >= 0
            assert float(element.attrib["x"]) + float(element.attrib["width"]) <= picture.width + 1
    for tick in picture.ticks:
        half = len(tick.label) * 7.6 / 2
        assert tick.anchor != "middle" or 0 < tick.x - half < tick.x + half < picture.width


def test_a_page_reads_the_title_of_a_chart_aloud() -> None:
    """The SVG has a role and a title, without any markup in the title."""
    svg = LOADER.svg(pictures()["run"], title="Runs <b>& more</b>")
    assert 'role="img"' in svg
    assert "<title>Runs &lt;b&gt;&amp; more&lt;/b&gt;</title>" in svg


def test_the_spike_is_the_tallest_bar_and_the_only_one_of_its_tone() -> None:
    """One look shows what happened."""
    bars = pictures()["run"].bars
    spikes = [bar for bar in bars if bar.tone == "spike"]
    assert [bar.label for bar in spikes] == ["14.2\u00a0km"]
    assert spikes[0].height == max(bar.height for bar in bars)


def test_the_level_of_a_return_begins_where_the_break_ends() -> None:
    """Before the break the runner was prepared for more, so the line isn't drawn there."""
    picture = pictures()["return"]
    gap, line = picture.gaps[0], picture.lines[0]
    assert gap.label == "4 weeks off"
    assert line.x >= gap.x + gap.width


def test_two_empty_weeks_are_marked_as_a_break() -> None:
    """The weeks over Christmas are marked as one stretch."""
    drawn = week_chart(made.weekly_facts().weeks, WORDS, mean_m=None)
    assert drawn is not None
    assert [gap.label for gap in drawn[0].gaps] == ["2 wk off"]


def test_what_is_planned_stands_beside_what_was_run() -> None:
    """Each planned week is an outlined bar after the last week run, including the current one."""
    weeks = made.weekly_facts().plan.weeks[:9]
    bars = pictures()["weeks"].bars
    planned = [bar for bar in bars if bar.tone == "planned"]
    assert len(planned) == len(weeks)
    assert min(bar.x for bar in planned) > max(bar.x for bar in bars if bar.tone != "planned")
    highest = max(weeks, key=lambda week: week.week_m)
    assert max(planned, key=lambda bar: bar.height) is planned[weeks.index(highest)]


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_the_days_below_the_weeks_stand_apart(language: str) -> None:
    """Also in the widest font of a page, for any number of weeks."""
    words = LOADER.words("text", Locale(language))
    halves = {"start": (0.0, 1.0), "middle": (0.5, 0.5), "end": (1.0, 0.0)}
    for done, planned in product(range(2, 15), range(10)):
        starts = [date(2026, 3, 2) + timedelta(weeks=n) for n in range(done + planned)]
        drawn = week_chart(
            [Week(on, 30_000, 4, 12_000, 10_000) for on in starts[:done]],
            words,
            mean_m=None,
            planned=[PlannedWeek(on, "build", 30_000, 12_000, on) for on in starts[done:]],
        )
        assert drawn is not None
        ticks = drawn[0].ticks
        spans = []
        for tick in ticks:
            before, after = (share * len(tick.label) * 9.2 for share in halves[tick.anchor])
            spans.append((tick.x - before, tick.x + after))
        assert len(ticks) >= 2 or done < 3, (done, planned)
        assert all(one[1] + 4 <= other[0] for one, other in pairwise(spans)), (done, planned)


def test_a_break_longer_than_the_picture_is_cut_at_its_edge() -> None:
    """After a year off the chart starts half a year back."""
    long_ago = replace(made.runs()[0], day=date(2025, 1, 5))
    facts = made.alert_facts("return", runs=(long_ago, made.runs()[-1]))
    picture, words = alert_chart(facts, WORDS)
    assert picture.gaps[0].x >= 0
    assert "21 Feb 14.2" in words
    assert png_of(picture)


def test_an_element_that_cannot_be_drawn_is_an_error() -> None:
    """A template with unsupported elements fails in the tests, not in a mail."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="1"/></svg>'
    with pytest.raises(ValueError, match="<circle>"):
        chart_png(svg, font=FONT)


@pytest.mark.parametrize("anchor", ["start", "middle", "end"])
@pytest.mark.parametrize("at", [(60.0, 40.0), (60.24, 40.25), (60.25, 40.26), (60.49, 40.49)])
def test_a_kept_word_stands_where_it_would_be_drawn(at: tuple[float, float], anchor: str) -> None:
    """To the pixel, however often it was pasted before."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="60">'
        f'<text class="quiet" x="{at[0]}" y="{at[1]}" text-anchor="{anchor}">12 Oct</text></svg>'
    )
    pasted = [Image.open(io.BytesIO(chart_png(svg, font=FONT))) for _ in range(2)]
    face = ImageFont.truetype(FONT, 29, layout_engine=ImageFont.Layout.BASIC)
    drawn = Image.new("L", (240, 120), 0)
    place = (at[0] * 2, at[1] * 2)
    ImageDraw.Draw(drawn).text(place, "12 Oct", 255, face, png._ANCHORS[anchor])
    seen = drawn.point([255 if value >= 16 else 0 for value in range(256)])
    for one in pasted:
        assert one.convert("RGBA").getchannel("A").point(lambda a: 255 if a else 0) == seen


@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (0x1B, 0x20, 0x23)])
def test_bars_and_letters_hold_on_any_ground(ground: tuple[int, int, int]) -> None:
    """At least 3:1 (WCAG 1.4.11, and 1.4.3 for large letters), in light and dark."""
    inks = {ink.colour for ink in png._SHAPES.values() if ink.cover == 255}
    for colour in inks - {png._PALE} | set(png._LETTERS.values()):
        assert contrast(colour, ground) >= 3, colour


def test_the_text_of_mails_has_the_contrast_of_wcag_aa() -> None:
    """4.5:1 for every pair of text and background in the style sheet, in light and dark."""
    light = [
        ("#1c2430", "#ffffff"), ("#55606e", "#ffffff"), ("#55606e", "#f2f3ef"),
        ("#0b665b", "#ffffff"), ("#0b665b", "#f2f3ef"), ("#12352f", "#e6f2ee"),
        ("#ffffff", "#0b665b"),
    ]  # fmt: skip
    dark = [
        ("#e9edf0", "#1b2023"), ("#a6b0b9", "#1b2023"), ("#a6b0b9", "#121517"),
        ("#66cbb9", "#1b2023"), ("#66cbb9", "#121517"), ("#d9efe9", "#17332e"),
        ("#0c1f1b", "#66cbb9"),
    ]  # fmt: skip
    css = Path(SHIPPED / "mail.css").read_text("utf-8")
    for text, ground in light + dark:
        assert text in css
        assert ground in css
        assert contrast(_rgb(text), _rgb(ground)) >= 4.5, (text, ground)


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """The WCAG 2 contrast ratio: from 1 to 21."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
