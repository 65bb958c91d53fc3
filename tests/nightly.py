"""Marks for tests that `make test` leaves to the nightly run."""

import pytest

ON_POSTGRES = pytest.mark.parametrize(
    "database_url",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)],
    indirect=True,
)
"""For long tests of one way through the store, which other tests cover on both databases."""
