"""The words of HTTP that adapters and channels share: a reply as plain values, and bodies read with limits.

Absent on purpose: sending. Adapters build `httpx.Request`s, channels `Post`s, both read `Reply`s; only `flow/` moves them.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple

import httpx
import orjson

ADDRESSES_CACHED = 1_024
"""Parsed: that costs more than all the rest of a request."""
BODY_LIMIT = 1024 * 1024
"""Bytes of an answer or a callback that are read at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Address(NamedTuple):
    """A web address as it is dialled and framed."""

    scheme: str
    host: str
    port: int | None
    authority: bytes
    path: bytes


class NotAnAddress(ValueError):
    """Nothing can be sent there."""


@lru_cache(ADDRESSES_CACHED)
def address(url: str) -> Address:
    """One reading for whoever saves an address and for whoever sends to it: what is saved can be framed."""
    try:
        parsed = httpx.URL(url)
        host, authority, path = parsed.raw_host.decode("ascii"), parsed.netloc, parsed.raw_path
    except (httpx.InvalidURL, ValueError):
        raise NotAnAddress("not a web address") from None  # what it says may be a secret
    if not host or any(not 0x20 < byte < 0x7F for byte in host.encode() + authority + path):
        raise NotAnAddress("not a web address")
    return Address(parsed.scheme, host, parsed.port, authority, path)


class Post(NamedTuple):
    """A POST as plain values. Everybody's notices are posted, and making an `httpx.Request` costs as much as sending one."""

    url: str
    headers: Sequence[tuple[str, str]]
    """Without the host and the length: those are the transport's."""
    body: bytes

    def __repr__(self) -> str:
        return "Post(…)"  # addresses, headers and bodies are secrets

    def request(self) -> httpx.Request:
        """For a transport that is not ours."""
        return httpx.Request("POST", self.url, headers=self.headers, content=self.body)


class NotJSON(ValueError):
    """Neither an object nor a list in UTF-8, or too deep."""


def parse(body: bytes) -> Any:
    """JSON as plain values. A body that starts with gzip's magic bytes is unzipped first, whatever its label says:
    some gateways label plain bodies as gzip (APIYI), so the label is not asked."""
    if body[:2] == b"\x1f\x8b":
        unzip = zlib.decompressobj(wbits=31)
        try:
            body = unzip.decompress(body, BODY_LIMIT)
        except zlib.error as error:
            raise NotJSON(f"broken gzip: {error}") from None
        if unzip.unconsumed_tail:
            raise NotJSON("unzips to more than the limit")
    try:
        return orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise NotJSON(str(error)) from None


def clean(value: str, limit: int = 2_000) -> str:
    """Text that both engines store and people can read: no NUL, no lone surrogates, bounded."""
    value = value[: limit + 1].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return value if len(value) <= limit else value[:limit] + "…"


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Retry-After in its two forms, seconds or a date. None when absent or senseless."""
    raw = headers.get("retry-after", "").strip()
    if raw.isascii() and raw.isdigit() and len(raw) <= 9:
        return float(raw)
    try:
        return max(0.0, parsedate_to_datetime(raw).timestamp() - now_ms / 1000)
    except (ValueError, TypeError, OverflowError):
        return None


def date_ms(headers: Mapping[str, str]) -> int | None:
    """When the answer was made, by the clock of whoever made it. None when absent or senseless."""
    raw = headers.get("date", "")
    return _instant(raw) if len(raw) == len("Sun, 06 Nov 1994 08:49:37 GMT") else None


@lru_cache(64)
def _instant(raw: str) -> int | None:
    """Many answers come within one second."""
    try:
        return int(parsedate_to_datetime(raw).timestamp() * 1_000)
    except (ValueError, TypeError, OverflowError):
        return None
