"""A request as the bytes that leave. Host and framing are ours alone: a subscriber's own headers must not say whom it talks to
or where its body ends."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import httpx

from service.egress.guard import PLAIN_PORT, TLS_PORT
from service.egress.pool import Place
from service.wire import Post

_OURS = frozenset({b"host", b"content-length", b"transfer-encoding"})
_OUR_NAMES = frozenset(name.decode() for name in _OURS)
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods that say nothing about a body when they have none; all others say `Content-Length: 0`."""
ADDRESSES_CACHED = 1_024
"""Parsed: that costs more than all the rest of a request."""


class Framed(NamedTuple):
    place: Place
    head: bytes
    body: bytes
    fresh: bool = False
    bodiless: bool = False
    """Whatever the answer's headers say, no body follows."""


def requested(request: httpx.Request) -> Framed:
    """Its body has to have been read."""
    sized = bool(request.content) or request.method not in _BODILESS
    head = _head(_first(request.method, request.url), request.headers.raw, len(request.content) if sized else None)
    place = _place(request.url, bool(request.extensions.get("trusted")))
    return Framed(place, head, request.content, bool(request.extensions.get("fresh")), request.method == "HEAD")


def posted(post: Post) -> Framed:
    place, first = _address(post.url)
    lines = [f"\r\n{name}: {value}" for name, value in post.headers if name.lower() not in _OUR_NAMES]
    head = b"%s%s\r\nContent-Length: %d" % (first, "".join(lines).encode(), len(post.body))
    return Framed(place, _ended(head, len(lines) + 2), post.body)


@lru_cache(ADDRESSES_CACHED)
def _address(url: str) -> tuple[Place, bytes]:
    parsed = httpx.URL(url)
    return _place(parsed, False), _first("POST", parsed)


def _place(url: httpx.URL, trusted: bool) -> Place:
    host = url.raw_host.decode("ascii")
    if url.scheme not in ("http", "https") or not host:
        raise httpx.ConnectError("not an http or https address")
    port = url.port or (TLS_PORT if url.scheme == "https" else PLAIN_PORT)
    return Place(url.scheme, host, port, trusted)


def _first(method: str, url: httpx.URL) -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: %s" % (method.encode("ascii"), url.raw_path, url.netloc)


def _head(first: bytes, headers: Sequence[tuple[bytes, bytes]], length: int | None) -> bytes:
    lines = [first, *[b"%s: %s" % header for header in headers if header[0].lower() not in _OURS]]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    return _ended(b"\r\n".join(lines), len(lines))


def _ended(head: bytes, breaks: int) -> bytes:
    """It holds these line breaks and no other."""
    if not head.count(b"\n") == head.count(b"\r") == breaks or b"\0" in head:
        raise httpx.ConnectError("a header holds a line break")
    return head + b"\r\n\r\n"
