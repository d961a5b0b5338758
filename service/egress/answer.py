"""One HTTP/1.1 answer read from bytes, however they were cut. No I/O: bytes in, a `Reply` or an error out."""

from typing import Literal

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from service.wire import Reply

Over = Literal["cut", "error"]
"""What a body longer than its cap is: cut there, or an error."""

FRAMING_LIMIT = 64 * 1024
"""Bytes in a row that bring no body: the head, interim answers, chunk extensions, trailers. Servers send under 16 KiB."""
HEADER_LIMIT = 128
HEADER_BYTES_LIMIT = FRAMING_LIMIT
INTERIM_LIMIT = 8
"""Answers 1xx before the real one; more is a way to keep us waiting."""


class HungUp(httpx.RemoteProtocolError):
    """Not one byte of an answer: the connection failed, rather than whoever answers on it."""


class Answer:
    """`started`: a byte has come. `complete`: no more is wanted. `keep`: the connection may carry another exchange."""

    __slots__ = (
        "_bodiless",
        "_cap",
        "_chunks",
        "_framing",
        "_headed",
        "_header_bytes",
        "_header_count",
        "_headers",
        "_interims",
        "_over",
        "_parser",
        "_size",
        "_status",
        "_wrong",
        "complete",
        "keep",
        "started",
    )

    def __init__(self, cap: int, over: Over, *, bodiless: bool = False) -> None:
        self._cap, self._over, self._bodiless = cap, over, bodiless
        self._status = self._size = self._framing = self._header_bytes = self._header_count = self._interims = 0
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._headed = False
        self._wrong: str | None = None
        self.started = self.complete = self.keep = False
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self.started = True
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.keep = False
            self._wrong = self._wrong or f"not an HTTP answer: {error}"
        if self._framing > FRAMING_LIMIT:
            self._wrong = self._wrong or "more headers or framing than the limit"
        if self._wrong is not None and not self.complete:
            raise httpx.RemoteProtocolError(self._wrong)

    def end(self) -> None:
        """The peer has closed its side: the proper end of a body that named no length, a broken answer otherwise."""
        if not self.complete and self._headed and not self._headers.keys() & {"content-length", "transfer-encoding"}:
            self.complete, self.keep = True, False
        if not self.complete:
            raise (
                httpx.RemoteProtocolError("closed in the middle of an answer")
                if self.started
                else HungUp("closed without an answer")
            )

    def release(self) -> None:
        """The parser and this hold each other: unless one lets go, every answer waits for the garbage collector."""
        del self._parser

    def reply(self) -> Reply:
        assert self.complete
        return Reply(self._status, self._headers, b"".join(self._chunks))

    # What the parser calls. It cannot be stopped inside one feed, so everything after the end only counts against `keep`.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            return  # a trailer: nobody asks for one
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        if self._header_count > HEADER_LIMIT or self._header_bytes > HEADER_BYTES_LIMIT:
            self._wrong = self._wrong or "more headers than the limit"
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        if self._headed:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != httpx.codes.SWITCHING_PROTOCOLS:
            self._interims += 1
            self._headers = {}
            if self._interims > INTERIM_LIMIT:
                self._wrong = self._wrong or "more interim answers than the limit"
            return
        if status < 200:
            self._wrong = self._wrong or f"an answer nobody asked for: {status}"
            return
        self._status, self._headed = status, True
        self.keep = self._parser.should_keep_alive()
        self.complete = self._bodiless

    def on_body(self, data: bytes) -> None:
        if self.complete or self._wrong is not None:
            self.keep = False
            return
        self._framing = 0
        room = self._cap - self._size
        if len(data) > room:
            if self._over == "error":
                self._wrong = f"longer than {self._cap} bytes"
                return
            data = data[:room]
            self.complete, self.keep = True, False
        self._size += len(data)
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._headed and self._wrong is None:
            self.complete = True
