"""Steps over a FIT file by the sizes in its definitions, and yields the requested messages.

Most of a FIT file is one record per second that isn't needed. The walk reads each record's header
byte, adds the size from its definition, and stops only at requested messages. `segment` puts
messages into one small valid FIT file for a real decoder. This module doesn't know what a field
means, and never raises because of the bytes.

The protocol: https://developer.garmin.com/fit/protocol/
"""

import re
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fastcrc.crc16 import arc

MAX_PARTS = 32
MAX_RESTARTS = 16
MAX_DEFINITIONS = 1000  # remembered at a time
TAIL_BYTES = 8192  # the end of a part, with its last rows
FURTHEST_RESUME_BYTES = 4096  # skipped at a time; beyond that only a session is searched for
RESUMED_ROWS = 4  # rows with consecutive times, which are no coincidence
LONGEST_BETWEEN_ROWS_S = 3600
SMALLEST_HEADER = 12
TIMESTAMP = 253
LONGEST_INTEGER = 8  # bytes
EARLIEST_CLOCK = 0x10000000  # smaller values are seconds since power-up

_DEFINITION = 0x40
_DEVELOPER = 0x20
_COMPRESSED = 0x80
_CLOCK_BITS = 0x1F
_LOCAL_NUMBERS = 16
_COMPRESSED_LOCAL_NUMBERS = 4
# Base types by their low five bits: the full number (some writers omit the high bit) and the size
# of one value. A decoder refuses a field whose size isn't a multiple of it.
_BASE_TYPES = {
    0x00: (0x00, 1), 0x01: (0x01, 1), 0x02: (0x02, 1), 0x03: (0x83, 2), 0x04: (0x84, 2),
    0x05: (0x85, 4), 0x06: (0x86, 4), 0x07: (0x07, 1), 0x08: (0x88, 4), 0x09: (0x89, 8),
    0x0A: (0x0A, 1), 0x0B: (0x8B, 2), 0x0C: (0x8C, 4), 0x0D: (0x0D, 1), 0x0E: (0x8E, 8),
    0x0F: (0x8F, 8), 0x10: (0x90, 8),
}  # fmt: skip
_BYTES = (0x0D, 1)
# A session's definition in either byte order, where reading continues after damage.
_SESSION_DEFINITION = re.compile(rb"[\x40-\x4f\x60-\x6f]\x00(?:\x00\x12\x00|\x01\x00\x12)")


@dataclass(frozen=True, slots=True)
class Definition:
    """How the data messages of one local number are laid out.

    `fields` are (number, size, base type). `size` is the size of the whole payload in bytes,
    including developer fields at its end, which aren't read.
    """

    number: int
    big_endian: bool
    fields: tuple[tuple[int, int, int], ...]
    size: int

    def find(self, field: int) -> slice | None:
        """The position of a field within the payload; None if it is missing."""
        offset = 0
        for number, size, _ in self.fields:
            if number == field:
                return slice(offset, offset + size)
            offset += size
        return None


@dataclass(frozen=True, slots=True)
class FitMessage:
    """A wanted message. `clock` is the last full or compressed timestamp, in FIT's seconds."""

    definition: Definition
    payload: bytes
    clock: int | None

    def integer(self, field: int, *, signed: bool = False) -> int | None:
        """A field's value; None if it is missing or has the invalid value."""
        place = self.definition.find(field)
        if place is None:
            return None
        raw = self.payload[place]
        if not 0 < len(raw) <= LONGEST_INTEGER:
            return None
        order: Literal["big", "little"] = "big" if self.definition.big_endian else "little"
        value = int.from_bytes(raw, order, signed=signed)
        nothing = (1 << (8 * len(raw) - signed)) - 1
        return None if value == nothing else value


def is_fit(content: bytes, at: int = 0) -> bool:
    """True if there is a FIT header at this position."""
    return (
        len(content) >= at + SMALLEST_HEADER
        and content[at] >= SMALLEST_HEADER
        and content[at + 8 : at + 12] == b".FIT"
    )


def parts(content: bytes) -> Iterator["Part"]:
    """The chained FIT files in one file; usually there is just one."""
    at = 0
    for _ in range(MAX_PARTS):
        if not is_fit(content, at):
            return
        part = Part(content, at)
        yield part
        at = part.next_at


class Part:
    """One chained file. Walk its `messages` first, then ask for its `damage` and last rows.

    `defined` are the global numbers of all messages for which the walk found a definition.
    """

    def __init__(self, content: bytes, at: int) -> None:
        start = at + content[at]
        (size,) = struct.unpack_from("<I", content, at + 4)
        # A watch that dies while recording leaves the size at 0; a truncated copy ends too early.
        self._cut = size == 0 or start + size + 2 > len(content)
        self._end = _next_header(content, start) if self._cut else start + size
        self._content = content
        self._at = at
        self._records = content[start : self._end]
        self._size = size
        self._broken = False
        self._steps: _Steps | None = None
        self.defined: set[int] = set()
        self.next_at = self._end if self._cut else self._end + 2

    @property
    def damage(self) -> str | None:
        """What is wrong with the part, in words; None if it is sound."""
        if self._cut:
            return "the file is cut off" if self._size else "the recording was never closed"
        if self._broken:
            return "the file is damaged"
        sealed = self._content[self._at : self._end + 2]
        # The checksum of bytes followed by their checksum is 0.
        return None if arc(sealed) == 0 else "the file's checksum doesn't match"

    def messages(self, wanted: Collection[int], *, clocked: bool = False) -> Iterator[FitMessage]:
        """The messages of the wanted global numbers, in the file's order.

        `clocked` also tracks the time of every other message, which is needed to expand
        timestamps that are compressed into five bits.
        """
        steps = _Steps(self._records, wanted, clocked=clocked)
        self.defined = steps.defined
        yield from steps
        self._broken = steps.broken
        self._steps = steps

    def last(self, number: int) -> FitMessage | None:
        """The last message of a global number, if it is in the part's last few kilobytes.

        Searching the whole part would take as long as another walk.
        """
        return self._steps.last(number) if self._steps else None


def _next_header(content: bytes, start: int) -> int:
    """Where the next chained file starts, else the end; for a part without a valid size."""
    found = content.find(b".FIT", start)
    return found - 8 if found >= start + 8 and is_fit(content, found - 8) else len(content)


class _Steps:
    """One pass over the records of a part; `broken` afterwards if some were invalid."""

    def __init__(self, records: bytes, wanted: Collection[int], *, clocked: bool) -> None:
        self.broken = False
        self.defined: set[int] = set()
        self._records = records
        self._wanted = wanted
        self._clocked = clocked
        self._clock: int | None = None
        self._known: dict[bytes, Definition] = {}
        self._restarts = 0
        self._tail_at: int | None = None
        self._forget()
        self._at_tail = self._definitions

    def _forget(self) -> None:
        self._definitions: list[Definition | None] = [None] * _LOCAL_NUMBERS
        # For each header byte, the distance to the next one; 0 if it has to be examined.
        self._steps = [0] * 256

    def __iter__(self) -> Iterator[FitMessage]:
        records, at = self._records, 0
        walked = records[:-TAIL_BYTES]
        while True:
            steps = self._steps
            try:
                while step := steps[walked[at]]:
                    at += step
            except IndexError:
                if walked is not records:
                    walked = records
                    self._tail_at, self._at_tail = at, self._definitions.copy()
                    continue
                self.broken |= at != len(records)
                return
            header = records[at]
            if header & _COMPRESSED or not header & _DEFINITION:
                definition = self._definition_of(header)
                after = at + 1 + definition.size if definition else 0
            else:
                definition = None
                after = self._define(at)
            if not 0 < after <= len(records):
                after = self._restart(at)
            elif definition and (
                message := self._message(header, definition, records[at + 1 : after])
            ):
                yield message
            if not after:
                return
            at = after

    def last(self, number: int) -> FitMessage | None:
        """The last message of this number in the tail of a completely walked part."""
        if self._tail_at is None:
            return None
        records, at, found = self._records, self._tail_at, None
        self._definitions = self._at_tail.copy()
        while at < len(records):
            header = records[at]
            if header & _COMPRESSED or not header & _DEFINITION:
                definition = self._definition_of(header)
                if definition is None:
                    break
                after = at + 1 + definition.size
                if definition.number == number and after <= len(records):
                    found = definition, at + 1
            else:
                after = self._define(at)
            if not at < after:
                break
            at = after
        if not found:
            return None
        definition, start = found
        return FitMessage(definition, records[start : start + definition.size], None)

    def _definition_of(self, header: int) -> Definition | None:
        compressed = header & _COMPRESSED
        return self._definitions[(header >> 5) & 0x3 if compressed else header & 0x0F]

    def _message(self, header: int, definition: Definition, payload: bytes) -> FitMessage | None:
        if self._clocked:
            if header & _COMPRESSED and self._clock is not None:
                self._clock += ((header & _CLOCK_BITS) - self._clock) & _CLOCK_BITS
            else:
                told = FitMessage(definition, payload, None).integer(TIMESTAMP)
                self._clock = told or self._clock
        if definition.number not in self._wanted:
            return None
        return FitMessage(definition, payload, self._clock)

    def _define(self, at: int) -> int:
        """Read a definition; returns where the next record starts, or 0 if this one is cut off."""
        records = self._records
        if at + 6 > len(records):
            return 0
        header = records[at]
        after = at + 6 + 3 * records[at + 5]
        if header & _DEVELOPER:
            after += 1 + 3 * records[after] if after < len(records) else 1
        if after > len(records):
            return 0
        raw = records[at + 1 : after]
        definition = self._known.get(raw)
        if definition is None:
            if len(self._known) == MAX_DEFINITIONS:
                self._known.clear()
            definition = self._known[raw] = _definition(raw)
            self.defined.add(definition.number)
        self._set(header & 0x0F, definition)
        return after

    def _set(self, local: int, definition: Definition) -> None:
        self._definitions[local] = definition
        look = definition.number in self._wanted or (
            self._clocked and definition.find(TIMESTAMP) is not None
        )
        step = 0 if look else definition.size + 1
        for reserved_bits in (0x00, 0x10, 0x20, 0x30):
            self._steps[local | reserved_bits] = step
        if local < _COMPRESSED_LOCAL_NUMBERS:
            first = _COMPRESSED | local << 5
            self._steps[first : first + 32] = [0 if self._clocked else step] * 32

    def _restart(self, at: int) -> int:
        """Where to continue after damage: consecutive rows or a session's definition, else 0."""
        self.broken = True
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            return 0
        found = _SESSION_DEFINITION.search(self._records, at + 1)
        end = min(at + FURTHEST_RESUME_BYTES, found.start() if found else len(self._records))
        for place in range(at + 1, end):
            if self._resumes(place):
                return place
        if found is None:
            return 0
        self._forget()
        return found.start()

    def _resumes(self, at: int) -> bool:
        """True if rows with known definitions and consecutive times follow."""
        last = 0
        for _ in range(RESUMED_ROWS):
            if at >= len(self._records) or self._records[at] >= _LOCAL_NUMBERS:
                return False
            definition = self._definitions[self._records[at]]
            if definition is None:
                return False
            payload = self._records[at + 1 : at + 1 + definition.size]
            clock = FitMessage(definition, payload, None).integer(TIMESTAMP)
            if clock is None or clock < EARLIEST_CLOCK or len(payload) < definition.size:
                return False
            if last and not last <= clock <= last + LONGEST_BETWEEN_ROWS_S:
                return False
            last = clock
            at += 1 + definition.size
        return True


def _definition(raw: bytes) -> Definition:
    """Parse a definition from its bytes after the header byte."""
    big_endian = raw[1] != 0
    (number,) = struct.unpack_from(">H" if big_endian else "<H", raw, 2)
    after = 5 + 3 * raw[4]
    numbers, sizes, base_types = raw[5:after:3], raw[6:after:3], raw[7:after:3]
    fields = tuple(zip(numbers, sizes, base_types, strict=True))
    developer_sizes = raw[after + 2 :: 3]
    return Definition(number, big_endian, fields, sum(sizes) + sum(developer_sizes))


def segment(messages: Iterable[FitMessage], *, fields: Collection[int]) -> bytes:
    """A valid FIT file with these fields of the messages, except those that a decoder refuses."""
    body = bytearray()
    last: Definition | None = None
    for message in messages:
        kept, payload = _sound(message, fields)
        if message.definition is not last:
            last = message.definition
            order = ">" if last.big_endian else "<"
            body += struct.pack(order + "BBBHB", _DEFINITION, 0, last.big_endian, last.number,
                                len(kept))  # fmt: skip
            body += b"".join(map(bytes, kept))
        body += b"\x00" + payload
    content = struct.pack("<BBHI4sH", 14, 0x10, 2100, len(body), b".FIT", 0) + body
    return content + struct.pack("<H", arc(content))


def _sound(
    message: FitMessage, wanted: Collection[int]
) -> tuple[list[tuple[int, int, int]], bytes]:
    """The wanted fields whose size fits their type, and their part of the payload."""
    kept = []
    payload = bytearray()
    offset = 0
    for number, size, base in message.definition.fields:
        if number in wanted:
            base_type, unit = _BASE_TYPES.get(base & 0x1F, _BYTES)
            if size and size % unit == 0:
                kept.append((number, size, base_type))
                payload += message.payload[offset : offset + size]
        offset += size
    return kept, bytes(payload)
