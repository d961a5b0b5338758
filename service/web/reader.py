"""One live connection: what waits to be sent to it, when it is too slow, and how it ends.

Absent on purpose: a task and a queue for each. An idle reader is a few words of memory and a parked `receive()`; a task
exists only while there is something to send.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.types import Send

log = logging.getLogger("callsheet.live")

Place = tuple[int, int]
"""In the order of commits: (xact, id)."""

WAITING_LIMIT_BYTES = 1024 * 1024
"""Frames that a reader has not taken yet. Beyond it the reader is cut off; it resumes by the id it has."""
PIECE_BYTES = 64 * 1024
"""Handed to the server at once: as much as the server itself buffers before it asks us to wait."""
BEAT = b":\n"
"""A comment: keeps proxies from hanging up. Without an empty line, so that no client takes it for an event."""
_END = b""
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")],
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as bytes, made once for all its readers."""

    place: Place
    app_id: str
    type: str
    data: bytes


class Reader:
    __slots__ = (
        "_late",
        "_send",
        "_sending",
        "_task",
        "_waiting",
        "_waiting_bytes",
        "app_id",
        "behind",
        "ends_at_s",
        "over",
        "patterns",
        "place",
    )

    def __init__(
        self, app_id: str, patterns: tuple[str, ...], place: Place, behind: bool, greeting: bytes, ends_at_s: float
    ) -> None:
        self.app_id, self.patterns = app_id, patterns
        self.place = place
        """Everything of its app up to here was read for it from the database."""
        self.behind = behind
        """There may be more in the database; a place that a client brings is only a claim until it was asked."""
        self.ends_at_s = ends_at_s
        """Of the loop's clock: then it has to come back and show its key again, which may have been revoked."""
        self.over = False
        self._waiting = [greeting]
        self._waiting_bytes = len(greeting)
        self._task: asyncio.Task[None] | None = None
        self._sending = self._late = False

    def begin(self, send: Send, catch_up: Callable[["Reader"], Awaitable[None]]) -> None:
        self._send = send
        self._task = asyncio.create_task(self._open(catch_up), name="live reader")

    def leave(self) -> None:
        """It is gone: what is under way finds nothing more to do."""
        self.over = True
        self._waiting = []
        self._waiting_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def push(self, frames: Sequence[Frame]) -> None:
        """Never waits: a reader that is too slow is its own problem."""
        if self.over:
            return
        new = [frame.data for frame in frames if frame.place > self.place]
        size = sum(map(len, new))
        if self._waiting and self._waiting_bytes + size > WAITING_LIMIT_BYTES:
            self.cut("too_slow")
        elif new:
            self._put(new, size)

    def beat(self, now_s: float) -> None:
        if self._sending and self._late:
            log.info("live.cut", extra={"app": self.app_id, "why": "stuck", "waiting_bytes": self._waiting_bytes})
            self.hang_up()
        elif self._sending:
            self._late = True
        elif self._task is None and now_s >= self.ends_at_s:
            self.end()
        elif self._task is None and not self.over:
            self._put([BEAT], len(BEAT))

    def cut(self, why: str) -> None:
        if not self.over:
            log.info("live.cut", extra={"app": self.app_id, "why": why, "waiting_bytes": self._waiting_bytes})
            self.end()

    def end(self) -> None:
        """Close the response. What still waits is dropped: the reader resumes before it."""
        if self.over:
            return
        self.over = True
        self._waiting = [_END]
        self._waiting_bytes = 0
        if self._sending:
            self.hang_up()
        elif self._task is None:
            self._task = asyncio.create_task(self._write())

    async def drain(self) -> None:
        """Until nothing waits; waits itself while the connection is full."""
        while self._waiting:
            body = self._take()
            self._sending = True
            await self._send({"type": "http.response.body", "body": body, "more_body": body != _END})
            self._sending = self._late = False

    def give(self, data: list[bytes]) -> None:
        """What it missed; whoever gives it drains it."""
        if not self.over:
            self._waiting += data
            self._waiting_bytes += sum(map(len, data))

    def _put(self, data: list[bytes], size: int) -> None:
        self._waiting += data
        self._waiting_bytes += size
        if self._task is None:
            self._task = asyncio.create_task(self._write())

    async def _open(self, catch_up: Callable[["Reader"], Awaitable[None]]) -> None:
        await self._send(_START)
        await self.drain()  # the greeting: it waits for no turn
        await catch_up(self)
        await self._write()

    async def _write(self) -> None:
        await self.drain()
        self._task = None

    def _take(self) -> bytes:
        size = count = 0
        for data in self._waiting:
            if count and size + len(data) > PIECE_BYTES:
                break
            size += len(data)
            count += 1
        body = self._waiting[0] if count == 1 else b"".join(self._waiting[:count])
        del self._waiting[:count]
        self._waiting_bytes -= size
        return body

    def hang_up(self) -> None:
        """ASGI has no word for it: a response that ends waits for the client to read the rest, and this one does not read.
        Uvicorn's transport hangs behind `send`; with another server the end waits."""
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()
