"""Pages below a path: `base_url` may end in one, and the proxy in front may strip or keep it."""

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send


def base_path(base_url: str) -> str:
    """The path at the beginning of all addresses, such as "/ease", or ""."""
    path = urlsplit(base_url).path.strip("/")
    return f"/{path}" if path else ""


class BasePathMiddleware:
    """Removes the base path from requests if the proxy kept it, because routes don't have it."""

    def __init__(self, app: ASGIApp, *, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if self._root and f"{path}/".startswith(f"{self._root}/"):
            scope = {**scope, "path": path.removeprefix(self._root) or "/"}
        await self._app(scope, receive, send)
