"""A request as whoever is asked sees it, in whichever of its two shapes the service made it."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import httpx

from service.wire import Post, address


class Sent(NamedTuple):
    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @classmethod
    def of(cls, request: httpx.Request | Post) -> Self:
        if isinstance(request, Post):
            found = address(request.url)
            path, _, query = found.path.decode().partition("?")
            return cls("POST", found.host, path, query, {name.lower(): value for name, value in request.headers}, request.body)
        path, _, query = request.url.raw_path.decode().partition("?")
        return cls(request.method, request.url.host, path, query, request.headers, request.content)
