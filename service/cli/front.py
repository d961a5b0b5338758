"""The front of the server: while more comes than the service can store, whoever posts is turned away here, which costs a
quarter of turning him away in the application. That matters: at three times what a machine can do, refusals alone could take
all of it.

A callback that is here whole is answered here, too: it needs no application's cycle, which costs as much as storing it does.
Whatever is unusual about one (in pieces, pipelined, large, unread answers) takes the way of all other requests.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.cli.bounds import Limited
from service.web.callbacks import ANSWERS, HEADERS, PATH

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

    def is_crowded(self) -> bool: ...

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


class Bounded(Limited):
    _too_many = False
    _turned_away = False
    _held: list[bytes] | None = None
    """The body so far of what may be a callback."""
    _dated: ClassVar[tuple[object, bytes]] = (None, b"")

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._too_many = len(self.connections) > CONNECTIONS

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._held is not None and not self.transport.is_closing():
            self._hand_on(self._held)  # the rest of it comes later

    def on_message_begin(self) -> None:
        self._held, self._turned_away = None, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            super().on_headers_complete()
            return
        self._head_done()
        idle = self.cycle is None or self.cycle.response_complete
        callback = idle and not self.flow.write_paused and _PLAIN(self.url) is not None
        crowded = idle and cast(Behind, self.app).is_crowded()
        if self._too_many or ((callback or crowded) and self._is_small_post()):
            if self._too_many or crowded:
                self._turn_away(self._too_many or not self.parser.should_keep_alive())
            else:
                self._held = []
        else:
            self._as_request()

    def on_body(self, body: bytes) -> None:
        if self._held is not None:
            self._bodied = True
            self._held.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._held is not None:
            self._in_message = False
            self._knock(self._held)
        else:
            super().on_message_complete()
            if self._turned_away:
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

    def _is_small_post(self) -> bool:
        if self.parser.get_method() != b"POST" or self.expect_100_continue:
            return False
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and int(value[:10]) <= SMALL
        return False

    def _turn_away(self, close: bool) -> None:
        cast(Behind, self.app).turned_away()
        self._dropping = self._turned_away = True
        if self.flow.write_paused:  # he does not read how often he was turned away
            self.transport.abort()
            return
        self.transport.write(SENT_AWAY if close else TURNED_AWAY)
        if close:
            self.transport.close()
        else:
            self._wait_for_head()  # for the rest of it
