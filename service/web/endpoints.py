"""An endpoint as data: method, path, scope, shapes. Routing, checking, OpenAPI and the tests of tenancy all read this."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from service.domain.errors import BadOrder, Fault
from service.parts import Parts
from service.web.bodies import Held
from service.web.guard import Caller
from service.web.shapes import NoQuery, Nothing

JSON_LIMIT = 256 * 1024
"""Bytes of a request's body; an order may be larger, it can carry pictures."""
PARTS_LIMIT = 50_000
"""Commas of a body, those of its texts included: a picture has one, and a million fields would hold up everybody while they are
read and named."""
BODY_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One checked request."""

    parts: Parts
    caller: Caller
    request: Request
    path: dict[str, str]
    query: Any
    body: Any

    @property
    def app_id(self) -> str:
        return self.caller.app_id


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    scope: str
    summary: str
    handle: Handler
    body: type[BaseModel] | None = None
    query: type[BaseModel] = NoQuery
    answer: type[BaseModel] | None = None
    status: int = 200
    body_limit: int = JSON_LIMIT
    free_query: str | None = None
    """Prefix of query parameters with names of the caller's own, e.g. `metadata.`."""
    about: str = ""
    """More than fits into the summary."""
    headers: tuple[tuple[str, str], ...] = ()
    """(name, meaning) of request headers that it understands."""
    also: tuple[tuple[int, type[BaseModel] | None, str], ...] = ()
    """(status, shape, meaning) of other good answers."""
    streams: str | None = None
    """What it sends instead of a page when `Accept` asks for an event stream."""
    adapter: TypeAdapter[Any] | None = field(default=None, compare=False)


class BodyTooLarge(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit:,} bytes")


class BodyTooSlow(Exception):
    pass


async def read_body(request: Request, endpoint: Endpoint, held: Held) -> Any:
    """The checked body of a request, or None where there is none to read."""
    if endpoint.body is None:
        return None
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[-20:]) > endpoint.body_limit:
        raise BodyTooLarge(endpoint.body_limit)
    chunks = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                chunks += chunk
                held.now(len(chunks))
                if len(chunks) > endpoint.body_limit:
                    raise BodyTooLarge(endpoint.body_limit)
    except TimeoutError:
        raise BodyTooSlow from None
    if not chunks and endpoint.body is Nothing:
        return Nothing()
    if chunks.count(b",") > PARTS_LIMIT:
        raise BadOrder("the body has too many parts", [Fault("body", f"holds more than {PARTS_LIMIT:,} commas")])
    try:
        raw = orjson.loads(chunks)
    except orjson.JSONDecodeError as error:
        raise BadOrder("the body is not JSON", [Fault("body", f"{error}"[:200])]) from None
    if not isinstance(raw, dict):
        raise BadOrder("the body has to be a JSON object", [Fault("body", f"is a {type(raw).__name__}")])
    return endpoint.body.model_validate(raw)


def read_query(request: Request, endpoint: Endpoint) -> Any:
    """Unknown parameters are named, not ignored: a filter with a typing error must not mean `everything`."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if "\x00" in name + value:
            raise BadOrder("a query parameter cannot be used", [Fault(name, "may not contain NUL; no database stores it")])
        if endpoint.free_query is not None and name.startswith(endpoint.free_query):
            continue
        if name in given:
            raise BadOrder("a query parameter is there twice", [Fault(name, "give it once; several values go with commas")])
        given[name] = value
    return endpoint.query.model_validate(given)


_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})")
WAIT_LIMIT_S = 60


def prefer_wait_s(request: Request) -> int | None:
    """`Prefer: wait=N` (RFC 7240), at most a minute."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found.group(1)), WAIT_LIMIT_S) if found else None
