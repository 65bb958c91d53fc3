"""Form bodies: a few short fields, url-encoded or multipart, and nothing else.

Only `worker.web.uploads` takes files. A body that can't be read is an empty form; each page
refuses a form that lacks what it needs.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from worker.web.context import PageError

LONGEST_BODY = 16_384
BODY_WITHIN_S = 10.0
_MOST_FIELDS = 100
_LONGEST_HEAD = 1_000
BOUNDARY = re.compile(r'boundary="?([^\s";,]{1,70})"?')
_NAME = re.compile(rb'[;\s]name="?([^";\r\n]{1,100})"?')


@dataclass(frozen=True, slots=True)
class Form:
    """Fields by name; a name may occur more than once."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, name: str) -> str:
        """The first value of the field, or ""."""
        return self.fields.get(name, ("",))[0].strip()

    def all(self, name: str) -> tuple[str, ...]:
        return self.fields.get(name, ())


async def read_body(request: Request) -> bytes:
    """The body; raises `PageError` if it is too large, too slow or incomplete."""
    body = b""
    if int(request.headers.get("content-length", "0")) > LONGEST_BODY:
        raise PageError(413)
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for piece in request.stream():
                body += piece
                if len(body) > LONGEST_BODY:
                    raise PageError(413)
    except TimeoutError as error:
        raise PageError(408) from error
    except ClientDisconnect as error:
        # An incomplete form must not be processed.
        raise PageError(400) from error
    return body


def read_form(content_type: str, body: bytes) -> Form:
    """The form in a request's body."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        pairs = _url_encoded(body)
    elif kind == "multipart/form-data":
        pairs = _multipart(content_type, body)
    else:
        pairs = []
    fields: dict[str, tuple[str, ...]] = {}
    for name, value in pairs[:_MOST_FIELDS]:
        fields[name] = (*fields.get(name, ()), value)
    return Form(fields)


def _url_encoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        return []


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """Parse in one pass. A field's name is only searched in the first line that may contain it."""
    found = BOUNDARY.search(content_type)
    if found is None:
        return []
    fields = []
    for part in body.split(b"--" + found[1].encode("latin-1"), _MOST_FIELDS)[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head[:_LONGEST_HEAD])
        if name and b"filename" not in head[:_LONGEST_HEAD]:
            value = content.removesuffix(b"\r\n")
            fields.append((name[1].decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    return fields
