"""The HTTP parser's own limits: nobody may send headers without end, or open a connection and say nothing; and while more
comes than the service can store, whoever posts is turned away here, which costs a quarter of turning him away in the
application. That matters: at three times what a machine can do, refusals alone could take all of it.

uvicorn bounds neither with httptools; a body has its limits where it is read.
"""

import asyncio
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes of one request's head: what servers commonly take, and far above what any of our callers sends."""
HEAD_S = 30.0
"""From the connection, or the first byte of a further request, to the end of its head."""
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b'content-length: 82\r\nconnection: close\r\n\r\n{"title":"Request Header Fields Too Large","status":431,"detail":"at most 64 KiB"}'
)
CONNECTIONS = 24_000
"""20,000 readers of the live feed, and room for everybody else. Whoever comes then is told to come again; those who were
here before are served."""
SMALL = 64 * 1024
"""Bytes of a body that is read to its end and dropped, so that the connection may be kept. A larger one is left to the
application, which refuses it before reading."""
_BUSY = b'{"type":"https://callsheet.dev/problems/unavailable","title":"Service Unavailable","status":503,"detail":"too much at once"}'
_HEAD = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\ncontent-length: %d\r\n"
    % len(_BUSY)
)
TURNED_AWAY, SENT_AWAY = _HEAD + b"\r\n" + _BUSY, _HEAD + b"connection: close\r\n\r\n" + _BUSY


class Crowded(Protocol):
    """What the application behind this tells of itself."""

    @property
    def crowded(self) -> bool: ...

    def turned_away(self) -> None: ...


class Bounded(HttpToolsProtocol):
    _too_many = False
    _dropping = False
    """The rest of a request that was turned away."""
    _head_bytes = 0
    _in_head = True
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._too_many = len(self.connections) > CONNECTIONS
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._head_bytes, self._in_head, self._dropping = 0, True, False
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_done()
        idle = self.cycle is None or self.cycle.response_complete
        if self._too_many or (idle and cast(Crowded, self.config.app).crowded and self._is_small_post()):
            self._turn_away(self._too_many or not self.parser.should_keep_alive())
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._dropping:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._dropping:
            super().on_message_complete()
            return
        self._head_done()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_small_post(self) -> bool:
        if self.parser.get_method() != b"POST" or self.expect_100_continue:
            return False
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return length.isdigit() and int(length[:10]) <= SMALL

    def _turn_away(self, close: bool) -> None:
        cast(Crowded, self.config.app).turned_away()
        self._dropping = True
        self.transport.write(SENT_AWAY if close else TURNED_AWAY)
        if close:
            self.transport.close()
        else:
            self._wait_for_head()  # for the rest of it

    def _wait_for_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self._give_up)

    def _head_done(self) -> None:
        self._in_head = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if (self._in_head or self._dropping) and not self.transport.is_closing():
            self.transport.close()
