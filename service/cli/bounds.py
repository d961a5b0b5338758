"""What one connection may take of everybody's, whatever it sends and whatever it does not read: the bytes and the time of a
head, of what follows a body, of answers that nobody reads; requests that wait behind one another; and the quiet between them.

uvicorn bounds none of these with httptools. A body has its limits where it is read.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes of one request's head: what servers commonly take, and far above what any of our callers sends. Likewise of what
comes in a row after it and is no body."""
HEAD_S = 30.0
"""From the connection, or the first byte of a further request, to the end of its head."""
PIPELINED = 64
"""Requests that wait on one connection for the answer to the first: one read may bring thousands. Of whoever sends more, those
are answered, and he has to connect again."""
UNREAD_S = 30.0
"""For what was answered to leave this process, once more than a few KiB wait."""
LAST_BODY_S = 2.0
"""For the rest of a body, when the server ends."""
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b'content-length: 82\r\nconnection: close\r\n\r\n{"title":"Request Header Fields Too Large","status":431,"detail":"at most 64 KiB"}'
)


def _leads_somewhere(target: bytes) -> bool:
    """uvicorn fails over it otherwise, after it has taken the request for one."""
    try:
        path = httptools.parse_url(target).path
    except httptools.HttpParserError:
        return False
    return path is not None and path.isascii()


class _Flow(FlowControl):
    """Reads on when nobody waits for his turn, whatever the one whose turn it is would like."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Limited(HttpToolsProtocol):
    flow: _Flow
    _head_bytes = 0
    _in_head = True
    _in_message = False
    _bodied = False
    _loose = 0
    """Bytes of a message, after its head, that were no body."""
    _dropping = False
    """Nothing more of this message is looked at."""
    _deaf = False
    """Nothing more of this connection is; it ends with the answers to what came before."""
    _running: Any = None
    """The cycle that is being answered. `cycle` is the last one, which may wait behind it."""
    _quiet_since: float | None = None
    _late: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    """One for a connection, and not one for each request: it looks whether it has been quiet for long."""
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._late, self._rest, self._unread):
            if timer is not None:
                timer.cancel()
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    # --- what comes ---

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._parse(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > 0:
            if self._head_bytes > HEAD_LIMIT:
                self.transport.write(TOO_LARGE)
                self.transport.close()
            else:
                self._wait_for_head()  # heads that are here whole need no timer
        elif self._in_message:
            self._loose = 0 if self._bodied else self._loose + len(data)
            self._bodied = False
            if self._loose > HEAD_LIMIT:
                self.transport.abort()

    def _parse(self, data: bytes) -> None:
        while data and not self._deaf:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = self._in_this_protocol() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self._deaf = True
                self._refuse()

    def _refuse(self) -> None:
        """What came is no request, or no body of the last one. Those before it are answered."""
        if self._in_message and not self._in_head and self.pipeline:
            self.pipeline.popleft()
            self.cycle = self._running
            self.flow.held = bool(self.pipeline)
        elif not self._busy or (self._in_message and not self._in_head and not self._running.response_started):
            self.send_400_response("Invalid HTTP request received.")

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _in_this_protocol(self) -> bytes:
        """The head once more, without the wish to speak another one (Java's client has it at every first request): the parser
        takes what follows such a head for that other one, and so for no body."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        if method == b"CONNECT":
            return b"CONNECT\r\n\r\n"  # nobody is reached through us, and this is no request
        kept = [(name, value) for name, value in self.headers if name not in (b"connection", b"upgrade", b"http2-settings")]
        kept += [(name, b"close") for name, value in self.headers if name == b"connection" and b"close" in value.lower()]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join([b"%b: %b\r\n" % line for line in kept]))

    def on_message_begin(self) -> None:
        self._head_bytes, self._in_head, self._in_message, self._dropping, self._loose = 1, True, True, False, 0
        self._quiet_since = None
        self.url, self.headers, self.expect_100_continue = b"", [], False  # the rest of a scope is made for requests alone

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # nobody reads trailers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_done()
        if self.parser.should_upgrade():
            self._dropping = True  # it comes again, see above
        else:
            self._as_request()

    def _as_request(self) -> None:
        """To the application, or into the line of those who wait."""
        if not _leads_somewhere(self.url):
            self._in_head = True  # nothing of it was handed on: it is no request, and not the last one's body either
            raise ValueError("the target of the request cannot be read")
        if len(self.pipeline) >= PIPELINED:
            self._deaf = True
        if self._deaf:
            self._dropping = True
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        self.flow.held = bool(self.pipeline)

    def on_body(self, body: bytes) -> None:
        self._bodied = True
        if not self._dropping:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        if not self._dropping:
            super().on_message_complete()

    # --- what is answered ---

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            if self.transport.get_write_buffer_size():
                self._wait_for_reader()
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self.flow.held = bool(self.pipeline)
            self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
        elif self._deaf:
            self.transport.write_eof()  # and whatever still comes is dropped: closed now, it could cost him the answers
            self.flow.resume_reading()
            if self._rest is not None:
                self._rest.cancel()
            self._rest = self.loop.call_later(UNREAD_S, self.transport.abort)
        else:
            self.flow.resume_reading()
            self._keep()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def shutdown(self) -> None:
        super().shutdown()
        if self._running is not None and self._running.more_body and not self._running.response_started:
            self.loop.call_later(LAST_BODY_S, self._no_longer, self._running)

    def _no_longer(self, cycle: Any) -> None:
        if cycle.more_body and not cycle.response_started:
            self._end()

    # --- what is waited for ---

    def _unset_keepalive_if_required(self) -> None:
        """A message ends the quiet, and not any byte."""

    def _keep(self) -> None:
        if self._in_head and self._head_bytes > 0:
            return  # the next request has begun
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
            self._end()

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
        if self.flow.held:
            self._wait_for_head()  # it may be here, and is not read yet
        elif self._busy:
            self._deaf = True
        elif self._in_head or self._dropping:
            self._end()

    def _wait_for_reader(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_S, self._look_at_reader, self.transport.get_write_buffer_size())

    def _look_at_reader(self, unread: int) -> None:
        self._unread = None
        if self.transport.get_write_buffer_size() < unread:
            self._wait_for_reader()  # slowly, but he reads
        else:
            self.transport.abort()

    def _end(self) -> None:
        """What nobody has read until now is not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
