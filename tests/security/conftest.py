"""The made instance of the web tests serves here too."""

from tests.web.conftest import blank, client, made, mira

__all__ = ["blank", "client", "made", "mira"]
