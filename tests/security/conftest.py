"""The web tests' instance, for these tests too."""

from tests.web.conftest import client, made, mira, runner

__all__ = ["client", "made", "mira", "runner"]
