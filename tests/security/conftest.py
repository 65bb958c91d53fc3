"""The made instance of the web tests serves here too."""

from tests.web.conftest import client, made, mira, runner

__all__ = ["client", "made", "mira", "runner"]
