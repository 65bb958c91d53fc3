"""Writes FIT files as a watch does: the run point by point, and its summary.

This small writer supports only the few messages that a run needs. The format is public:
https://developer.garmin.com/fit/protocol/. `sources.formats` reads files and doesn't know this one.
"""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Final

from fastcrc.crc16 import arc

from worker.demo.runner import Outing

_EPOCH: Final = datetime(1989, 12, 31, tzinfo=UTC)
_HEADER: Final = struct.Struct("<BBHI4s")
_PROTOCOL, _PROFILE = 0x20, 2100
_POINT_EVERY_S = 30

# Base types of the protocol, each with its `struct` format.
_ENUM, _UINT16, _UINT32, _UINT32Z = (0x00, "B"), (0x84, "H"), (0x86, "I"), (0x8C, "I")

# Messages by number, and their fields as (number, base type).
_TIMESTAMP = (253, _UINT32)
_FILE_ID = (0, ((0, _ENUM), (1, _UINT16), (2, _UINT16), (3, _UINT32Z), (4, _UINT32)))
_RECORD = (20, (_TIMESTAMP, (5, _UINT32), (6, _UINT16)))
_SESSION = (18, (_TIMESTAMP, (2, _UINT32), (7, _UINT32), (8, _UINT32), (9, _UINT32),
                 (0, _ENUM), (1, _ENUM), (5, _ENUM), (6, _ENUM)))  # fmt: skip
_ACTIVITY = (34, (_TIMESTAMP, (0, _UINT32), (1, _UINT16), (2, _ENUM), (3, _ENUM), (4, _ENUM),
                  (5, _UINT32)))  # fmt: skip
_LOCAL = (_FILE_ID, _RECORD, _SESSION, _ACTIVITY)

_ACTIVITY_FILE, _DEVELOPMENT, _PRODUCT, _SERIAL = 4, 255, 1, 2026
_EVENT_SESSION, _EVENT_ACTIVITY, _STOP = 8, 26, 1
_RUNNING, _GENERIC, _MANUAL = 1, 0, 0

_Message = tuple[int, tuple[tuple[int, tuple[int, str]], ...]]


def written(outing: Outing) -> bytes:
    """The file of one run: header, messages, checksum."""
    body = b"".join(_messages(outing))
    head = _HEADER.pack(14, _PROTOCOL, _PROFILE, len(body), b".FIT")
    content = head + struct.pack("<H", arc(head)) + body
    return content + struct.pack("<H", arc(content))


def _messages(outing: Outing) -> Iterator[bytes]:
    begin, end = _seconds(outing.started_at), _seconds(outing.ended_at)
    speed_m_s = outing.distance_m / outing.moving_s
    moving_ms, metres_100 = round(outing.moving_s * 1000), round(outing.distance_m * 100)
    for message in _LOCAL:
        yield _definition(message)
    yield _data(_FILE_ID, _ACTIVITY_FILE, _DEVELOPMENT, _PRODUCT, _SERIAL, begin)
    for at in (*range(begin, end, _POINT_EVERY_S), end):
        yield _data(
            _RECORD, at, round(metres_100 * (at - begin) / (end - begin)), round(speed_m_s * 1000)
        )
    yield _data(_SESSION, end, begin, moving_ms, moving_ms, metres_100,
                _EVENT_SESSION, _STOP, _RUNNING, _GENERIC)  # fmt: skip
    local = end + round(outing.offset.total_seconds())
    yield _data(_ACTIVITY, end, moving_ms, 1, _MANUAL, _EVENT_ACTIVITY, _STOP, local)


def _definition(message: _Message) -> bytes:
    number, fields = message
    head = struct.pack("<BBBHB", 0x40 | _LOCAL.index(message), 0, 0, number, len(fields))
    sizes = ((field, struct.calcsize(letter), base) for field, (base, letter) in fields)
    return head + b"".join(struct.pack("<BBB", *each) for each in sizes)


def _data(message: _Message, *values: int) -> bytes:
    return _layout(message).pack(_LOCAL.index(message), *values)


@cache
def _layout(message: _Message) -> struct.Struct:
    return struct.Struct("<B" + "".join(letter for _, (_, letter) in message[1]))


def _seconds(at: datetime) -> int:
    """An instant in FIT's time, in seconds since its epoch."""
    return round((at - _EPOCH).total_seconds())
