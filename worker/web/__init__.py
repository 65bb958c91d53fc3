"""The web face: the pages behind the links in mails, the operator's page, and health.

    app  = build_app(Desk(...))          # one Starlette app; `more=` takes further routes
    face = Face(app, host=..., port=...)  # served by uvicorn in a thread of the worker
    face.start(); face.stop()

Pages are made on the server, work without JavaScript and ask no third party for anything. A GET
changes nothing; a POST writes a wish or an answer into the store and leaves the work to the
worker. Who has a signed link is whom it was signed for: there are no accounts, and no cookies.

Behind a proxy: the face speaks plain HTTP and takes an `X-Forwarded-For` from nobody but the
addresses in `Desk.proxies` (loopback unless told otherwise), and from them only to tell clients
apart for the rate limits. No page's content hangs on it. Being on this machine opens the
operator's pages only while `base_url` is a loopback address itself: as soon as the face is
published under a name, everybody may come by way of a proxy on this machine, and a token is
needed.
"""

from worker.web.app import build_app
from worker.web.desk import Desk
from worker.web.face import Face, FaceError

__all__ = ["Desk", "Face", "FaceError", "build_app"]
