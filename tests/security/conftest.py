"""The made instance of the web tests serves here too."""

from tests.web.conftest import client, made, mira

__all__ = ["client", "made", "mira"]
