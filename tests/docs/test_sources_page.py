"""The worked example of docs/sources.md is a source that works."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from simulators.http_server import Server, running
from simulators.strava.service import Answer, Question
from tests.command import ROOT
from worker.domain.models import Recording
from worker.setting_types import SourceSection
from worker.sources import NotARun, Unreadable
from worker.sources.base import ApiKey, CredentialRevoked

NOW = datetime(2026, 3, 8, 8, tzinfo=UTC)
RUN = {"id": 7, "sport": "run", "start": "2026-03-07T07:30:00Z", "metres": 8000, "seconds": 2700}
RIDE = RUN | {"id": 8, "sport": "ride"}


class ClubLog:
    """A server that answers as the example's service does."""

    key = "a-key"

    fetch: Any = None

    def answer(self, question: Question) -> Answer:
        if question.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401, b"{}")
        rows = {"id": "anna"} if question.path == "/me" else [RIDE, RUN]
        return Answer(200, json.dumps(rows).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    with running(ClubLog()) as served:
        yield served


@pytest.fixture
def source(server: Server) -> ApiKey:
    """The class as the page has it, set up for the server."""
    page = (ROOT / "docs" / "sources.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(# section\.py.*?)^```", page, re.MULTILINE | re.DOTALL)
    module: dict[str, Any] = {"__name__": "club"}
    exec(code, module)  # noqa: S102  our own page
    section: SourceSection = module["ClubSection"](base_url=server.base_url)
    made: ApiKey = module["Club"](section)
    return made


def test_it_learns_whose_key_it_is_and_lists_runs(source: ApiKey) -> None:
    pasted = source.with_key("a-key", ends_at=None)
    credential = source.refresh(pasted, now=NOW)
    assert credential.account_id == "anna"
    ride, run = source.list_activities(credential, now=NOW, size=50).activities
    assert isinstance(ride.parsed, NotARun)
    assert isinstance(run.parsed, Recording)
    assert (run.external_id, run.parsed.distance_m, run.parsed.moving_s) == ("7", 8000, 2700)
    source.close()


def test_it_says_when_a_key_is_refused(source: ApiKey) -> None:
    with pytest.raises(CredentialRevoked):
        source.refresh(source.with_key("another", ends_at=None), now=NOW)
    source.close()


@pytest.mark.parametrize("raw", [None, {}, RUN | {"metres": None}, RUN | {"start": "soon"}])
def test_an_odd_row_is_unreadable_and_no_error(source: ApiKey, raw: object) -> None:
    assert isinstance(source.parse(raw).parsed, Unreadable)
