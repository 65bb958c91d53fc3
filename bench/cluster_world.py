"""The services around the cluster benchmark: a mail sink and a Strava, too fast to matter.

Both are separate processes and send the shortest answer that the real ones would send.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Counters:
    """The number of mails taken and the time of the last one, shared with the sink's process."""

    _count: Any
    _last_at: Any

    @classmethod
    def make(cls) -> "Counters":
        return cls(multiprocessing.Value("l", 0), multiprocessing.Value("d", 0.0))

    @property
    def count(self) -> int:
        return int(self._count.value)

    @property
    def last_at(self) -> float:
        return float(self._last_at.value)

    def add(self) -> None:
        with self._count.get_lock():
            self._count.value += 1
        self._last_at.value = time.time()

    def reset(self) -> None:
        self._count.value = 0


@contextmanager
def sink_process(mails: Counters) -> Iterator[int]:
    """A mail server that accepts everything and keeps nothing; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                await reader.readuntil(b"\r\n.\r\n")
                mails.add()
                writer.write(b"250 taken\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
            await writer.drain()
        writer.close()

    with _process(serve, limit=2**22) as port:
        yield port


@contextmanager
def strava_process(jumps: int) -> Iterator[int]:
    """A Strava with an activity for every id, which encodes the athlete; yields its port.

    Its lists of activities are empty. One athlete in `jumps` ran far in each round, a different
    one each time.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            asked = head.split(b" ", 2)[1].partition(b"?")[0].rpartition(b"/")[2]
            answer = _activity(int(asked), jumps) if asked.isdigit() else []
            body = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                b"X-RateLimit-Limit: 1000000,10000000\r\nX-RateLimit-Usage: 1,1\r\n"
                b"X-ReadRateLimit-Limit: 1000000,10000000\r\nX-ReadRateLimit-Usage: 1,1\r\n\r\n"
                % len(body) + body
            )  # fmt: skip
            await writer.drain()
        writer.close()

    with _process(serve, limit=2**16) as port:
        yield port


def _activity(number: int, jumps: int) -> dict[str, object]:
    athlete, which = divmod(number, 100)
    far = athlete % jumps == which % jumps
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2 + which)
    return {
        "id": number, "athlete": {"id": athlete}, "name": "A run", "resource_state": 3,
        "distance": 16_000.0 if far else 1000.0, "moving_time": 6000 if far else 360,
        "elapsed_time": 6000 if far else 360, "type": "Run", "sport_type": "Run",
        "start_date": f"{at:%Y-%m-%dT%H:%M:%SZ}", "start_date_local": f"{at:%Y-%m-%dT%H:%M:%S}",
        "timezone": "(GMT+00:00) Etc/UTC", "utc_offset": 0.0, "manual": False, "trainer": False,
        "private": False, "device_name": "A watch", "workout_type": None, "external_id": None,
    }  # fmt: skip


@contextmanager
def _process(serve: Serve, *, limit: int) -> Iterator[int]:
    """Run a server in its own process; yields its port."""
    port = multiprocessing.Value("i", 0)

    def live() -> None:
        async def listen() -> None:
            server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=limit, backlog=512)
            port.value = server.sockets[0].getsockname()[1]
            await server.serve_forever()

        asyncio.run(listen())

    process = multiprocessing.get_context("fork").Process(target=live, daemon=True)
    process.start()
    while not port.value:
        time.sleep(0.01)
    try:
        yield int(port.value)
    finally:
        process.terminate()
        process.join()
