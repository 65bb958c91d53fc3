"""An importing application for each test."""

import pytest

from tests.app import App
from tests.pipeline.imports.exports import Importing
from worker.sources.formats.child import Reader


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What a database can do differently is tried in `store/test_imports.py`."""
    return sqlite_url


@pytest.fixture
def importing(app: App, reader: Reader) -> Importing:
    return Importing(app, reader)
