"""The HTTP parser's own limits: nobody may send headers without end, or open a connection and say nothing; and while more
comes than the service can store, whoever posts is turned away here, which costs a quarter of turning him away in the
application. That matters: at three times what a machine can do, refusals alone could take all of it.

A callback that is here whole is answered here, too: it needs no application's cycle, which costs as much as storing it does.
Whatever is unusual about one (in pieces, pipelined, large, unread answers) takes the way of all other requests.

uvicorn bounds neither with httptools; a body has its limits where it is read.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.web.callbacks import ANSWERS, HEADERS, PATH

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


class Behind(Protocol):
    """The application, as the front knows it."""

    @property
    def crowded(self) -> bool: ...

    def turned_away(self) -> None: ...

    def knock(self, provider: str, token: str, body: bytes, answer: Callable[[int], None]) -> bool:
        """A callback. False: it has to come as any request does."""
        ...


CALLBACKS = PATH.encode()
_PLAIN = re.compile(rb"%b[\w-]+/[\w.-]+" % CALLBACKS, re.ASCII).fullmatch
"""Nothing to decode, and no query: some senders add one of their own to the address they were given."""
_TOLD = {
    status: STATUS_LINE[status]
    + b"".join(b"%b: %b\r\n" % header for header in HEADERS[status])
    + b"content-length: %d\r\n" % len(body)
    for status, body in ANSWERS.items()
}


class _Knock:
    """A callback under way, in the place of an application's cycle: requests that follow it wait for its end."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False
        self.message_event = _NOBODY


class _Nobody:
    def set(self) -> None:
        """Nobody waits for more of it."""


_NOBODY = _Nobody()


class Bounded(HttpToolsProtocol):
    _too_many = False
    _dropping = False
    """The rest of a request that was turned away."""
    _held: list[bytes] | None = None
    """The body so far of what may be a callback."""
    _head_bytes = 0
    _in_head = True
    _late: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    """One for a connection, and not one for each request: it looks whether it has been quiet for long."""
    _quiet_since: float | None = None
    _dated: ClassVar[tuple[object, bytes]] = (None, b"")

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._too_many = len(self.connections) > CONNECTIONS
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_done()
        if self._rest is not None:
            self._rest.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()
        if self._held is not None and not self.transport.is_closing():
            self._hand_on(self._held)  # the rest of it comes later
        if self._in_head and self._head_bytes > 0:
            self._wait_for_head()  # likewise; heads that are here whole need no timer

    def on_message_begin(self) -> None:
        self._head_bytes, self._in_head, self._dropping, self._held = 1, True, False, None
        self._quiet_since = None  # a callback may have been answered in the same read
        self.url, self.headers, self.expect_100_continue = b"", [], False  # the rest of a scope is made for requests alone

    def on_headers_complete(self) -> None:
        self._head_done()
        idle = self.cycle is None or self.cycle.response_complete
        callback = idle and not self.flow.write_paused and _PLAIN(self.url) is not None
        crowded = idle and cast(Behind, self.app).crowded
        if self._too_many or ((callback or crowded) and self._is_small_post()):
            if self._too_many or crowded:
                self._turn_away(self._too_many or not self.parser.should_keep_alive())
            else:
                self._held = []
        else:
            self._as_request()

    def on_body(self, body: bytes) -> None:
        if self._held is not None:
            self._held.append(body)
        elif not self._dropping:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._held is not None:
            self._knock(self._held)
        elif not self._dropping:
            super().on_message_complete()
        else:
            self._head_done()
            self._keep()

    def _knock(self, pieces: list[bytes]) -> None:
        knock = _Knock(self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        before, self.cycle = self.cycle, cast(Any, knock)
        provider, _, token = self.url[len(CALLBACKS) :].decode("ascii").partition("/")
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if cast(Behind, self.app).knock(provider, token, body, lambda status: self._tell(knock, status)):
            self._held = None
        else:
            self.cycle = before
            self._hand_on(pieces)
            super().on_message_complete()

    def _tell(self, knock: _Knock, status: int) -> None:
        knock.response_complete = True
        if knock.disconnected or self.transport.is_closing():
            return
        close = b"" if knock.keep_alive else b"connection: close\r\n"
        self.transport.write(b"%b%b%b\r\n%b" % (_TOLD[status], self._standing(), close, ANSWERS[status]))
        if not knock.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """As the server's own, but for its timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._keep()

    def _unset_keepalive_if_required(self) -> None:
        self._quiet_since = None

    def _keep(self) -> None:
        self._quiet_since = self.loop.time()
        if self._rest is None:
            self._rest = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        self._rest = None
        if self._quiet_since is None:
            return  # whatever is under way keeps it when it ends
        left_s = self._quiet_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._rest = self.loop.call_later(left_s, self._look)
        else:
            self.timeout_keep_alive_handler()

    def _standing(self) -> bytes:
        """The server's own headers, which are made anew once a second."""
        headers = self.server_state.default_headers
        if Bounded._dated[0] is not headers:
            Bounded._dated = headers, b"".join([b"%b: %b\r\n" % header for header in headers])
        return Bounded._dated[1]

    def _hand_on(self, pieces: list[bytes]) -> None:
        """To the application, like any other request."""
        self._held = None
        self._as_request()
        for piece in pieces:
            super().on_body(piece)

    def _as_request(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _is_small_post(self) -> bool:
        if self.parser.get_method() != b"POST" or self.expect_100_continue or self.parser.should_upgrade():
            return False
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and int(value[:10]) <= SMALL
        return False

    def _turn_away(self, close: bool) -> None:
        cast(Behind, self.app).turned_away()
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
