"""Names and mail addresses: which are accepted, and which are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.contact import ContactError, checked_address, checked_name


@pytest.mark.parametrize(
    "address",
    ["anna@example.org", "a.b+run@mail.example.org", "root@localhost", "ängs@exämple.org"],
)
def test_an_address_that_a_mail_can_go_to_is_taken(address: str) -> None:
    """Pasted spaces around it are removed."""
    assert checked_address(f"  {address}\n") == address


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "anna", "@example.org", "anna@", "anna@@example.org", "a b@example.org",
        "anna@example.org, eve@example.org", "anna@example.org;eve@example.org",
        "Anna <anna@example.org>", "anna@example.org\r\nBcc: eve@example.org",
        "anna@example.org\nSubject: x", "anna\x00@example.org", "anna@exam\u202eple.org",
        "(anna)@example.org", '"anna"@example.org', ".anna@example.org", "anna.@example.org",
        "an..na@example.org", "anna@example..org", "anna@.example.org", "anna@example.org.",
        f"{'a' * 65}@example.org", f"anna@{'a' * 250}.org",
    ],
)  # fmt: skip
def test_what_is_no_single_address_is_refused(text: str) -> None:
    """No second recipient, no injected header, no characters that change the text's direction."""
    with pytest.raises(ContactError, match="is not an address such as"):
        checked_address(text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_address_that_is_taken_can_end_a_header(local: str, domain: str) -> None:
    try:
        address = checked_address(f"{local}@{domain}")
    except ContactError:
        return
    assert address.isprintable()
    assert not set(address) & set(' \r\n\t,;:<>()"')
    assert address.count("@") == 1


@pytest.mark.parametrize("name", ["Anna", "Anna Müller", "Zoé", "李 娜", "A"])
def test_a_name_that_can_be_shown_is_taken(name: str) -> None:
    assert checked_name(f" {name} ") == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "1 to 80"), ("   ", "1 to 80"), ("x" * 81, "1 to 80"), ("An\x1bna", "1 to 80"),
        ("An\nna", "1 to 80"), ("An\u202ena", "1 to 80"), ("../anna", "no slash"),
        ("an\\na", "no slash"), (".anna", "no dot in front"),
    ],
)  # fmt: skip
def test_a_name_that_is_no_folder_or_cannot_be_shown_is_refused(text: str, why: str) -> None:
    """The name is also that of the athlete's folder in the inbox."""
    with pytest.raises(ContactError, match=why):
        checked_name(text)
