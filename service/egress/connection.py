"""One connection: carries one exchange at a time, and says exactly where an exchange broke.

No streaming: answers are small and capped, so an exchange is one future, one timer and a list of chunks.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httpx

from service.egress.answer import Answer

JOIN_LIMIT = 64 * 1024
"""Bytes of body up to which head and body go out in one write (one packet mostly); copying more costs more than a packet."""


READS_FREE = 64
"""Reads of one exchange before anybody looks at what they bring."""
READ_MEAN = 256
"""Bytes that they should bring on average from then on. Each wakes the loop: an answer that comes byte by byte would cost a
second of everybody's time."""
REST_S = 0.05
"""What came meanwhile is one read."""


class Stale(Exception):
    """A kept connection was closed by the peer before it said a word about this exchange."""


def _nobody(_: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._done: asyncio.Future[None] | None = None
        self._writing = False
        self._uses = 0
        self._reads = self._received = 0
        self._rest: asyncio.TimerHandle | None = None
        self.on_lost: Callable[[Connection], None] = _nobody

    @property
    def closed(self) -> bool:
        return self._wire is None or self._wire.is_closing()

    async def exchange(self, head: bytes, body: bytes, answer: Answer, deadline: float) -> None:
        """Fills the answer, or raises. Anything but a clean end closes the connection. `deadline` is the loop's time."""
        assert self._done is None, "a connection carries one exchange at a time"
        if self.closed or self._wire is None:
            raise Stale if self._uses else httpx.ConnectError("closed by the peer before anything was sent")
        self._uses += 1
        self._reads = self._received = 0
        self._answer, self._done = answer, self._loop.create_future()
        timer = self._loop.call_at(deadline, self._expire)
        try:
            if len(body) <= JOIN_LIMIT:
                self._wire.write(head + body)
            else:
                self._wire.write(head)
                self._wire.write(body)
            await self._done
        finally:
            timer.cancel()
            clean = answer.complete and answer.keep and not self._writing
            self._answer = self._done = None
            answer.release()
            self._listen()
            if not clean:
                self.close()

    def close(self) -> None:
        """At once: nothing that is still to come is wanted, and a polite TLS goodbye would wait for the peer."""
        if self._wire is not None:
            self._wire.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's are not of the class, only of the kind
        # pause_writing then means: not everything has left yet. Not 0: TLS transports count from the mark on, not above it.
        self._wire.set_write_buffer_limits(high=1, low=0)

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # words out of turn: whatever answer came next could not be trusted
            return
        self._reads += 1
        self._received += len(data)
        try:
            self._answer.feed(data)
        except httpx.RemoteProtocolError as error:
            self._settle(error)
        else:
            if self._answer.complete:
                self._settle()
            elif self._reads > READS_FREE and self._received < self._reads * READ_MEAN:
                self._rest_a_moment()

    def _rest_a_moment(self) -> None:
        if self._rest is None and self._wire is not None and not self._wire.is_closing():
            self._wire.pause_reading()
            self._rest = self._loop.call_later(REST_S, self._listen)

    def _listen(self) -> None:
        """Again, if it rested."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            if self._wire is not None and not self._wire.is_closing():
                self._wire.resume_reading()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self._wire = None
        self.on_lost(self)

    def _ended(self, cause: Exception | None) -> None:
        if self._answer is None or self._done is None or self._done.done():
            return
        error: Exception | None = None
        if not self._answer.started and self._uses > 1:
            error = Stale()
        elif cause is not None:
            error = (httpx.WriteError if self._writing else httpx.ReadError)("connection lost")
        else:
            try:
                self._answer.end()
            except httpx.RemoteProtocolError as broken:
                error = httpx.WriteError("closed while the request was being sent") if self._writing else broken
        self._settle(error)

    def _expire(self) -> None:
        late = httpx.WriteTimeout if self._writing else httpx.ReadTimeout
        self._settle(late("the request was not sent in time" if self._writing else "no whole answer in time"))

    def _settle(self, error: Exception | None = None) -> None:
        if self._done is None or self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)
