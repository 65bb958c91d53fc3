"""The made instance of the web tests serves here too."""

from tests.web.conftest import blank, made, mira

__all__ = ["blank", "made", "mira"]
