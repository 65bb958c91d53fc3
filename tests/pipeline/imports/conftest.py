"""An importing application for each test."""

import pytest

from tests.app import App
from tests.pipeline.imports.exports import Importing
from worker.sources.formats.child import Reader


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite only: `store/test_imports.py` covers the differences between databases."""
    return sqlite_url


@pytest.fixture
def importing(app: App, reader: Reader) -> Importing:
    return Importing(app, reader)
