"""Parts of tests that `make test` leaves to the nightly run."""

import pytest

ON_POSTGRES = pytest.mark.parametrize(
    "database_url",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)],
    indirect=True,
)
"""For tests of many files or many times by one way through the store, which others try on both."""
