"""Pictures of exercises: the shipped four and an operator's own, in mails, and refused ones."""

import io
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from simulators.mail_lint import lint
from simulators.mails import MAILS
from worker.app import UNUSED_KEYS, build_composer, read_routines
from worker.config import Settings, SettingsError
from worker.domain.routine import PICTURES, Routine
from worker.mail import to_mime
from worker.notify import Composer
from worker.notify.pictures import shipped_pictures
from worker.notify.render import SHIPPED, Locale, standalone
from worker.notify.samples import sample_facts

STEP = """
[[routine]]
name = "Own"
[[routine.step]]
key = "heel drop / slow"
title = "Slow heel drops"
how = "Slowly."
dose = "often"
when = ["after"]
picture = "{}"
"""


@cache
def photo(size: tuple[int, int] = (2000, 1500), kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """Grey noise, which compresses badly."""
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(file, kind)
    return file.getvalue()


def drawing(size: tuple[int, int], mode: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


Content = bytes | Callable[[], bytes] | None
"""A picture's bytes; large ones are made by a function when they're needed."""


def own(tmp_path: Path, name: str, content: Content) -> Composer:
    """A composer whose routine has this picture."""
    settings = tmp_path / "easeback.toml"
    (tmp_path / "routine.toml").write_text(STEP.format(name))
    if content is not None:
        (tmp_path / name).write_bytes(content() if callable(content) else content)
    return build_composer(Settings(), settings, UNUSED_KEYS)


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance by WCAG."""
    parts = [one / 255 for one in colour[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_shipped_step_has_a_picture(routines: tuple[Routine, ...]) -> None:
    """By its key; there are no other files."""
    steps = {step.key: step.picture for one in routines for step in one.steps}
    assert steps == {key: key for key in PICTURES}
    files = sorted(path.name for path in (SHIPPED / "exercises").iterdir())
    assert files == sorted(f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_mails_picture_stands_out_on_white_and_on_black(name: str) -> None:
    """3:1 for each line, on a transparent background, at twice its size and a few kB."""
    picture = Image.open(io.BytesIO(shipped_pictures()[name].content))
    assert picture.width == 480
    assert len(shipped_pictures()[name].content) < 5_000
    pixels = picture.convert("RGBA").getcolors() or []
    lines = [colour for number, colour in pixels if colour[3] > 250 and number > 200]
    assert len(lines) >= 3
    for line in lines:
        assert 1.05 / (luminance(line) + 0.05) >= 3
        assert (luminance(line) + 0.05) / 0.05 >= 3
    assert max(pixels)[1][3] == 0


def test_mails_show_each_exercise_once_with_words(composer: Composer) -> None:
    """In its first place only, with alternative text in the reader's language."""
    email = MAILS["alert"](composer)
    lint(email)
    shown = [name for name, _ in email.images if name.startswith("exercise")]
    assert shown == ["exercise-1.png", "exercise-2.png", "exercise-3.png", "exercise-4.png"]
    assert all(email.html.count(f'"cid:{name}"') == 1 for name in shown)
    assert 'alt="Somebody walks briskly' in email.html
    german = composer.loader.words("html", Locale("de"))
    french = composer.loader.words("html", Locale("fr"))
    assert german.exercises.keys() == french.exercises.keys() == set(PICTURES)


def test_who_should_be_seen_first_gets_no_exercise(composer: Composer) -> None:
    """Nor a picture of one."""
    email = MAILS["alert to somebody who should be seen"](composer)
    assert [name for name, _ in email.images] == ["chart.png"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("heel.jpg", photo, ".jpg"),
        ("heel.PNG", lambda: drawing((1200, 900), "RGB"), ".jpg"),
        ("line.png", drawing((600, 500), "LA"), ".png"),
    ],
)
def test_a_therapists_own_picture_is_made_small_for_mails(
    tmp_path: Path, name: str, content: Content, kind: str
) -> None:
    """With its step's title as alternative text, and its actual type in mail and page."""
    composer = own(tmp_path, name, content)
    (routine,) = read_routines(tmp_path / "easeback.toml")
    facts = next(facts for mail, facts in sample_facts() if mail == "alert")
    email = composer.alert(replace(facts, steps=routine.steps))
    lint(email)
    ((cid, small),) = [one for one in email.images if one[0].startswith("exercise")]
    assert cid == f"exercise-1{kind}"
    assert max(Image.open(io.BytesIO(small)).size) == 480
    assert f'src="cid:{cid}"' in email.html
    assert 'alt="Slow heel drops"' in email.html
    mime = to_mime(email, message_id="<a@b.example>", date=facts.now, sender="a@b.example",
                   reply_to=None)  # fmt: skip
    media_type = f"image/{ {'.jpg': 'jpeg', '.png': 'png'}[kind] }"
    assert media_type.encode() in mime
    start = b64encode(small[:9]).decode()
    assert f"data:{media_type};base64,{start}" in standalone(email)


def test_a_mail_has_room_for_so_many_pictures(tmp_path: Path) -> None:
    """The first ones; other steps are still described."""
    composer = own(tmp_path, "heel.jpg", photo)
    (routine,) = read_routines(tmp_path / "easeback.toml")
    steps = [replace(routine.steps[0], key=f"step {number}") for number in range(9)]
    context = composer.routine(steps, Locale())
    assert 0 < len(context["pictures"]) < 9
    assert sum(len(one.content) for one in context["pictures"].values()) <= 48_000
    assert len(context["groups"][0][1]) == 9


def test_a_svg_of_a_therapist_is_for_pages_alone(tmp_path: Path) -> None:
    """Mail readers don't show SVG."""
    composer = own(tmp_path, "heel.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    (routine,) = read_routines(tmp_path / "easeback.toml")
    assert composer.routine(routine.steps, Locale())["pictures"] == {}
    assert composer.pictures["heel.svg"].media_type == "image/svg+xml"


BOMB = b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg>&a;</svg>'


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("heel.png", None, "heel.png: can't be read: No such file or directory"),
        ("heel.png", b"no picture", "is no whole PNG or JPEG picture"),
        ("heel.jpg", lambda: photo()[:20_000], "is no whole PNG or JPEG picture"),
        ("heel.png", b"x" * (5 * 2**20 + 1), "a picture has 5 MB at most"),
        ("heel.png", lambda: drawing((8000, 8000), "1"), "is no whole PNG or JPEG picture"),
        ("heel.svg", b"<html/>", "is no SVG picture"),
        ("heel.svg", BOMB, "is no SVG picture"),
        ("../heel.png", None, "picture is the name of a PNG, JPEG or SVG file beside this one"),
        ("brisk-wolk", None, "did you mean 'brisk-walk'?"),
    ],
)
def test_a_picture_that_cannot_be_used_is_said_at_start(
    tmp_path: Path, name: str, content: Content, why: str
) -> None:
    """In one line that names the file."""
    with pytest.raises(SettingsError) as caught:
        own(tmp_path, name, content)
    assert why in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
