"""A request as the bytes that leave. Host and framing are ours alone: a subscriber's own headers must not say whom it talks to
or where its body ends."""

from collections.abc import Sequence
from typing import NamedTuple

import httpx

from service.egress.guard import PLAIN_PORT, TLS_PORT
from service.egress.pool import Place
from service.wire import Address, NotAnAddress, Post, address

_OURS = frozenset({b"host", b"content-length", b"transfer-encoding"})
_OUR_NAMES = frozenset(name.decode() for name in _OURS)
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods that say nothing about a body when they have none; all others say `Content-Length: 0`."""


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
    place, found = _address(str(request.url), bool(request.extensions.get("trusted")))
    head = _head(_first(request.method, found), request.headers.raw, len(request.content) if sized else None)
    return Framed(place, head, request.content, bool(request.extensions.get("fresh")), request.method == "HEAD")


def posted(post: Post) -> Framed:
    place, found = _address(post.url)
    lines = [f"\r\n{name}: {value}" for name, value in post.headers if name.lower() not in _OUR_NAMES]
    head = b"%s%s\r\nContent-Length: %d" % (_first("POST", found), "".join(lines).encode(), len(post.body))
    return Framed(place, _ended(head, len(lines) + 2), post.body)


def _address(url: str, trusted: bool = False) -> tuple[Place, Address]:
    try:
        found = address(url)
    except NotAnAddress as error:
        raise httpx.ConnectError(str(error)) from None
    if found.scheme not in ("http", "https"):
        raise httpx.ConnectError("not an http or https address")
    port = found.port or (TLS_PORT if found.scheme == "https" else PLAIN_PORT)
    return Place(found.scheme, found.host, port, trusted), found


def _first(method: str, found: Address) -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: %s" % (method.encode("ascii"), found.path, found.authority)


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
