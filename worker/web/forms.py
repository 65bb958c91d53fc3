"""Form bodies: a few short fields, url-encoded or multipart, and nothing else.

Files are not taken, so the standard library's parsers do. A body that can't be read is an empty
form; what a page needs and doesn't find there it refuses itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Form:
    """Fields by name; a name may stand more than once."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, name: str) -> str:
        """The field's only or first value, "" where there's none."""
        return self.fields.get(name, ("",))[0].strip()

    def all(self, name: str) -> tuple[str, ...]:
        return self.fields.get(name, ())


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
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    pairs = []
    for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes) and not part.get_filename():
            pairs.append((name, content.decode("utf-8", "replace")))
    return pairs
