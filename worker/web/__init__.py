"""The web pages: those behind the links in mails, the operator's page, and health.

    app = build_app(WebContext(...))             # one Starlette app
    server = WebServer(app, host=..., port=...)  # uvicorn in a thread of the worker
    server.start(); server.stop()

Pages are rendered on the server, work without JavaScript and load nothing from third parties. A GET
changes nothing, except for the callback of a consent, to which a service redirects. A POST saves an
answer, a setting or a credential in the store and leaves the work to the worker. A signed link
identifies the athlete it was signed for: there are no accounts, and only a consent sets a cookie.

Behind a proxy, the server speaks plain HTTP and trusts `X-Forwarded-For` only from the addresses in
`[web] trusted_proxies`, and only to distinguish clients for the rate limits. No page's content
depends on it. A request from this machine opens the operator's pages only while `base_url` is a
loopback address. Once the pages are published under a name, anybody's request may come through a
proxy on this machine, so a token is needed.
"""

from worker.web.app import build_app
from worker.web.base_path import base_path
from worker.web.context import WebContext
from worker.web.pages import Pages
from worker.web.server import WebServer, WebServerError

__all__ = ["Pages", "WebContext", "WebServer", "WebServerError", "base_path", "build_app"]
