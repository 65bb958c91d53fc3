"""Uploads: files in the body of a POST, from the form on the athlete's page or from a phone.

    POST /athlete/<token>/files      multipart with any number of files, or one file as the body

The link is checked before the body is read. The body is written to disk as it arrives, and its
files are moved into the athlete's folder of the inbox once it is complete.
"""

import asyncio
import logging
import mmap
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from worker.pipeline.uploads import LARGEST_UPLOAD_BYTES, UploadError, Uploads, uploads_of
from worker.web.athlete import athlete_page
from worker.web.connections import LONG_BODY
from worker.web.context import PageError, WebContext, locale_of
from worker.web.forms import BOUNDARY, Form
from worker.web.visits import LinkVisit, Visit, in_thread, open_link

log = logging.getLogger(__name__)

UPLOAD_WITHIN_S = 900.0
PIECE_WITHIN_S = 30.0
MOST_FILES = 50
_MOST_AT_ONCE = 8
_REFUSAL_WITHIN_S = 60.0
_ENVELOPE_BYTES = 65_536
"""The most bytes that multipart adds to the files."""
_LONGEST_HEAD = 2_000
_FILE_NAME = re.compile(rb'[;\s]filename="((?:[^"\\\r\n]|\\.)*)"')
_OTHER_NAME = re.compile(rb"[;\s]filename(?:\*=utf-8'[\w-]*'|=)([^;\"\s]+)", re.IGNORECASE)


class _File(NamedTuple):
    """A file in a body: its name as sent, and the offsets of its start and end."""

    name: str
    start: int
    end: int


def upload_route(web: WebContext) -> Route:
    """The route for uploads."""
    under_way = asyncio.Semaphore(_MOST_AT_ONCE)

    async def endpoint(request: Request) -> Response:
        plain = Visit(request, Form(), web.clock(), locale_of(web, request.scope))
        visit = await in_thread(web, "pages", partial(open_link, web, plain, "athlete"))
        try:
            names = await _take(web, visit, under_way)
        except PageError as error:
            return await in_thread(web, "pages", partial(_refusal, web, visit, error))
        log.info(
            "web: athlete %(athlete)d uploaded files (%(files)d)",
            {"athlete": visit.athlete.id, "files": len(names)},
        )
        return _welcome(web, visit, names)

    return Route("/athlete/{token}/files", endpoint, methods=["POST"])


async def _take(web: WebContext, visit: LinkVisit, under_way: asyncio.Semaphore) -> Sequence[str]:
    """Put the files of the body into the inbox, and return their names; raises `PageError`."""
    athlete, request = visit.athlete, visit.request
    most = LARGEST_UPLOAD_BYTES + _ENVELOPE_BYTES
    promised = int(request.headers.get("content-length", most))
    take_time = request.scope.get("state", {}).get(LONG_BODY)
    if take_time is not None:
        take_time()
    pieces = aiter(request.stream())
    if promised > most:
        if "expect" not in request.headers:
            await _let_pass(pieces)
        raise PageError(413)
    if wait_s := web.uploads.wait_s(str(athlete.id), visit.now):
        raise PageError(429, wait_s=wait_s)
    if under_way.locked():
        raise PageError(503, wait_s=30)
    if not web.uploading.begin(athlete.id):
        raise PageError(429, wait_s=10)
    try:
        async with under_way:
            with ExitStack() as stack:

                def prepare() -> tuple[Uploads, BinaryIO]:
                    uploads = stack.enter_context(uploads_of(web.services, athlete))
                    uploads.check_room(promised)
                    return uploads, stack.enter_context(uploads.spool())

                uploads, body = await in_thread(web, "uploads", prepare)
                await _receive(web, pieces, body, most)
                return await in_thread(web, "uploads", partial(_keep, uploads, body, request))
    except UploadError as error:
        log.warning("web: an upload came to nothing: %(why)s", {"why": str(error)})
        raise PageError(507 if error.is_full else 503, wait_s=60) from error
    finally:
        web.uploading.end(athlete.id)


async def _receive(
    web: WebContext, pieces: AsyncIterator[bytes], body: BinaryIO, most: int
) -> None:
    """Write the body to disk as it arrives; raises `PageError` if it is too large or too slow."""
    came = 0
    try:
        async with asyncio.timeout(UPLOAD_WITHIN_S):
            while True:
                async with asyncio.timeout(PIECE_WITHIN_S):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                came += len(piece)
                if came > most:
                    await _let_pass(pieces)
                    raise PageError(413)
                await in_thread(web, "uploads", partial(body.write, piece))
    except TimeoutError as error:
        raise PageError(408) from error
    except ClientDisconnect as error:
        raise PageError(400) from error


async def _let_pass(pieces: AsyncIterator[bytes]) -> None:
    """Discard the rest for a while, because a client may only read the answer after sending."""
    left = 2 * LARGEST_UPLOAD_BYTES
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_REFUSAL_WITHIN_S):
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    return


def _keep(uploads: Uploads, body: BinaryIO, request: Request) -> Sequence[str]:
    """Put each file of a complete body into the inbox; returns their names. Raises `PageError`."""
    body.flush()
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "multipart/form-data":
        files = _files_in(body, kind)
    else:
        name = _name_in(request.headers.get("content-disposition", "").encode("latin-1"))
        files = [_File(name or request.query_params.get("name", ""), 0, body.seek(0, 2))]
    files = [one for one in files if one.end > one.start]
    if not files or len(files) > MOST_FILES:
        raise PageError(413 if files else 400)
    if sum(one.end - one.start for one in files) > LARGEST_UPLOAD_BYTES:
        raise PageError(413)
    for one in files:
        uploads.keep(one.name, body, one.start, one.end)
    return [one.name for one in files]


def _files_in(body: BinaryIO, content_type: str) -> list[_File]:
    """The parts of a multipart body that are files, at most one more than is allowed.

    Raises `PageError` if the body is incomplete.
    """
    boundary = BOUNDARY.search(content_type)
    if boundary is None or not body.seek(0, 2):
        return []
    line = b"--" + boundary[1].encode("latin-1")
    files: list[_File] = []
    with mmap.mmap(body.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        at = whole.find(line, 0, _ENVELOPE_BYTES)
        while len(files) <= MOST_FILES:
            at += len(line)
            if at < len(line) or whole[at : at + 2] == b"--":
                break
            head_ends = whole.find(b"\r\n\r\n", at, at + _LONGEST_HEAD)
            ends = whole.find(b"\r\n" + line, head_ends + 4)
            if min(head_ends, ends) < 0:
                raise PageError(400)
            head = whole[at:head_ends]
            if b"filename" in head:
                files.append(_File(_name_in(head), head_ends + 4, ends))
            at = ends + 2
    return files


def _name_in(head: bytes) -> str:
    """The name of the file in the headers of a part, or ""."""
    if found := _FILE_NAME.search(head):
        return found[1].decode("utf-8", "replace").replace("%22", '"')
    found = _OTHER_NAME.search(head)
    return unquote(found[1].decode("utf-8", "replace")) if found else ""


def _welcome(web: WebContext, visit: LinkVisit, names: Sequence[str]) -> Response:
    """A redirect for browsers, else 201 with JSON or a line of text."""
    wanted = visit.request.headers.get("accept", "")
    if "text/html" in wanted:
        return RedirectResponse(f"{web.pages.root}{visit.athlete_path}?uploaded=yes", 303)
    message = str(web.pages.words(visit.locale).uploaded)
    if "application/json" in wanted:
        return JSONResponse({"message": message, "files": list(names)}, 201)
    return PlainTextResponse(message + "\n", 201)


def _refusal(web: WebContext, visit: LinkVisit, error: PageError) -> Response:
    """The error: on the athlete's page, or as JSON or a line of text."""
    words = web.pages.words(visit.locale)
    why = str(words.upload_refused.get(error.status, words.refused_other_note))
    wanted, response = visit.request.headers.get("accept", ""), None
    if "text/html" in wanted:
        response = athlete_page(web, visit, troubles={"upload": why}, status=error.status)
    elif "application/json" in wanted:
        response = JSONResponse({"error": why}, error.status)
    else:
        response = PlainTextResponse(why + "\n", error.status)
    if error.wait_s is not None:
        response.headers["retry-after"] = str(error.wait_s)
    return response
