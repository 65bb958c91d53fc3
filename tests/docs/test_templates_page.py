"""docs/templates.md lists what templates of mails are given, as they are given it."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tests.command import ROOT
from worker.links import Signer
from worker.notify import Composer
from worker.notify.render import Locale, TemplateLoader
from worker.notify.samples import sample_facts

PAGE = (ROOT / "docs" / "templates.md").read_text("utf-8")


class Recording(TemplateLoader):
    """Notes the names that each mail's templates are given."""

    given: Mapping[str, set[str]] = defaultdict(set)

    def render(self, mail: str, context: Mapping[str, Any], locale: Locale) -> tuple[str, ...]:
        self.given[mail] |= {*context, "language", "words"}
        return super().render(mail, context, locale)


def given_names() -> dict[str, set[str]]:
    composer = Composer(signer=Signer(["a key for tests"], "https://easeback.example.org"))
    composer.loader = Recording()
    for kind, facts in sample_facts():
        getattr(composer, kind)(facts)
    return dict(composer.loader.given)


def documented() -> dict[str, set[str]]:
    """The names in the table below each mail's heading, and those of every mail."""
    tables = {
        heading: set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
        for heading, part in re.findall(
            r"^## `?(\w+)[^\n]*\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
        )
    }
    everywhere = tables.pop("Every")
    mails = (
        "alert",
        "weekly",
        "reconnect",
        "notice",
        "red_flag",
        "alert_copy",
        "welcome",
        "address",
        "address_asked",
    )
    return {mail: tables[mail] | everywhere for mail in mails}


def test_the_tables_are_what_templates_are_given() -> None:
    assert documented() == given_names()
