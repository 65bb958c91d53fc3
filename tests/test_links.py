"""Signed links: one purpose each, rotating keys, a maximum age if requested."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.models import Athlete
from worker.links import Link, LinkError, Signer

NOW = datetime(2026, 2, 21, 12, tzinfo=UTC)
MIRA = Athlete(7, "Mira", "mira@example.org", NOW, link_id="a random name")
SIGNER = Signer(["new", "old"], "https://easeback.example.org/")


def token(link: str) -> str:
    """The last part of a link."""
    return link.rpartition("/")[2]


def test_a_link_gives_its_payload_back() -> None:
    """Address, purpose, token and the signed payload survive a round trip."""
    link = SIGNER.sign("checkin", MIRA, now=NOW, feels="fine")
    assert link.startswith("https://easeback.example.org/checkin/")
    checked = SIGNER.check("checkin", token(link), max_age_s=60, now=NOW)
    assert checked == Link("a random name", NOW, {"feels": "fine"})


def test_a_link_of_one_purpose_opens_nothing_else() -> None:
    """A check-in link can't unsubscribe."""
    link = SIGNER.sign("checkin", MIRA)
    with pytest.raises(LinkError):
        SIGNER.check("unsubscribe", token(link), now=NOW)


def test_a_link_of_an_older_key_still_opens_and_one_of_a_dropped_key_does_not() -> None:
    """Keys rotate without breaking the mails of last week."""
    before = Signer(["old"], "https://x.example")
    link = before.sign("unsubscribe", MIRA)
    assert SIGNER.check("unsubscribe", token(link), now=NOW) == Link("a random name", None, {})
    with pytest.raises(LinkError):
        Signer(["new"], "https://x.example").check("unsubscribe", token(link), now=NOW)


def test_the_newest_key_signs() -> None:
    """Once all old links are gone, the old key can be removed too."""
    link = SIGNER.sign("unsubscribe", MIRA)
    assert Signer(["new"], "https://x.example").check("unsubscribe", token(link), now=NOW)


def test_an_aged_link_expires_to_the_second_and_an_ageless_one_never() -> None:
    """Unsubscribing works after ten years; a link without an age fails if one is required."""
    aged = token(SIGNER.sign("connect", MIRA, now=NOW))
    hour = timedelta(hours=1)
    assert SIGNER.check("connect", aged, max_age_s=3600, now=NOW + hour)
    with pytest.raises(LinkError) as caught:
        SIGNER.check("connect", aged, max_age_s=3600, now=NOW + hour + timedelta(seconds=1))
    assert caught.value.expired
    ageless = token(SIGNER.sign("unsubscribe", MIRA))
    assert SIGNER.check("unsubscribe", ageless, now=NOW + timedelta(days=3650))
    with pytest.raises(LinkError):
        SIGNER.check("unsubscribe", ageless, max_age_s=1e9, now=NOW)


@given(st.text(max_size=300))
def test_a_made_up_token_is_refused_and_nothing_else_happens(text: str) -> None:
    """Any input of a stranger is refused without another kind of error."""
    with pytest.raises(LinkError):
        SIGNER.check("unsubscribe", text, now=NOW)


@given(st.integers(min_value=0), st.characters(codec="ascii", categories=["L", "N"]))
def test_a_token_changed_in_one_letter_is_refused(place: int, letter: str) -> None:
    """Every character of a token counts."""
    good = token(SIGNER.sign("unsubscribe", MIRA, kind="alert"))
    at = place % (len(good) - 1)  # the last character of base64 has unused bits
    if good[at] == letter:
        return
    with pytest.raises(LinkError):
        SIGNER.check("unsubscribe", good[:at] + letter + good[at + 1 :], now=NOW)


def test_a_signer_without_a_key_is_refused() -> None:
    """An empty key would let everybody sign."""
    for keys in ([], [""], ["good", ""]):
        with pytest.raises(ValueError, match="key"):
            Signer(keys, "https://x.example")


def test_a_very_long_token_is_refused_before_it_is_read() -> None:
    """Nobody makes us decode a megabyte."""
    with pytest.raises(LinkError, match="long"):
        SIGNER.check("unsubscribe", "x" * 2001, now=NOW)


def test_a_link_from_the_future_opens_nothing_until_then() -> None:
    """A link from a clock that ran ahead couldn't expire; a few minutes' difference is allowed."""
    for ahead, opens in ((timedelta(minutes=4), True), (timedelta(days=5 * 365), False)):
        link = token(SIGNER.sign("connect", MIRA, now=NOW + ahead))
        if opens:
            assert SIGNER.check("connect", link, max_age_s=3600, now=NOW)
            continue
        with pytest.raises(LinkError, match="ahead"):
            SIGNER.check("connect", link, max_age_s=3600, now=NOW)
