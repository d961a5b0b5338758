"""Moves one request and its answer. Lean, because everybody's notices pass here: httpx's own pool searches all its
connections at every request and falls to a few requests a second with hundreds in flight.

What a request may ask for by extension: `trusted` (the operator named this address: no guard, all else the same), `fresh`
(a new connection, for what is paid for: a kept one that dies makes the outcome unknown), `timeout`, `cap`, `over`.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import httpx

from service.egress.answer import Answer, Over
from service.egress.connection import Connection, Stale
from service.egress.dial import Connect, Resolve, Resolver, connect, dial
from service.egress.framing import Framed, posted, requested
from service.egress.guard import Guard
from service.egress.pool import Place, Pool
from service.wire import BODY_LIMIT, Post, Reply

CONNECT_S = 5.0
TOTAL_S = 60.0
"""Whoever names no deadline gets this one: there is always one."""
IN_FLIGHT_LIMIT = 2_000
"""The fixed numbers of workers keep far below; a leak of requests ends here instead of taking every descriptor."""
RESOLVER_THREADS, TRUSTED_RESOLVER_THREADS = 32, 4
"""Apart, so that subscribers' names never hold up a provider's."""


class Limits(NamedTuple):
    total_s: float = TOTAL_S
    connect_s: float = CONNECT_S
    cap: int = BODY_LIMIT
    over: Over = "error"

    @classmethod
    def of(cls, extensions: Mapping[str, Any]) -> Self:
        """httpx knows no total, only limits of single steps: their sum stands in for one."""
        steps = extensions.get("timeout") or {}
        connect_s = steps.get("connect") or CONNECT_S
        read_s, write_s = steps.get("read"), steps.get("write")
        total_s = steps.get("total") or (connect_s + read_s + write_s if read_s and write_s else TOTAL_S)
        return cls(total_s, connect_s, extensions.get("cap", BODY_LIMIT), extensions.get("over", "error"))


@dataclass(frozen=True, slots=True)
class Stats:
    open: int
    idle: int
    in_flight: int


class Transport(httpx.AsyncBaseTransport):
    """Belongs to the event loop it is first used in. `forbidden` is asked before each send: a reason is a bug of ours, such
    as a request inside a database transaction."""

    def __init__(
        self,
        guard: Guard,
        *,
        forbidden: Callable[[], str | None] = lambda: None,
        resolve: Resolve | None = None,
        connect: Connect = connect,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._guard, self._forbidden, self._connect = guard, forbidden, connect
        self._resolvers = () if resolve else (Resolver(RESOLVER_THREADS), Resolver(TRUSTED_RESOLVER_THREADS))
        self._resolve = (resolve, resolve) if resolve else self._resolvers
        self._tls = tls
        self._pool = Pool()
        self._open: set[Connection] = set()
        self._in_flight = 0
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        reply = await self.reply(request, Limits.of(request.extensions))
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=httpx.ByteStream(reply.body))

    async def reply(self, request: httpx.Request | Post, limits: Limits) -> Reply:
        """The same without httpx's response around it. The request's body has to have been read."""
        if (reason := self._forbidden()) is not None:
            raise AssertionError(reason)
        if self._closed:
            raise httpx.ConnectError("closed")
        if self._in_flight >= IN_FLIGHT_LIMIT:
            raise httpx.ConnectError("too many requests in flight")
        framed = posted(request) if isinstance(request, Post) else requested(request)
        deadline = asyncio.get_running_loop().time() + limits.total_s
        self._in_flight += 1
        stale = False
        try:
            if not framed.fresh and (kept := self._pool.take(framed.place)):
                try:
                    return await self._carry(kept, framed, limits, deadline)
                except Stale:
                    stale = True  # nothing was received: once more, over a connection that cannot be
            try:
                fresh = await self._dial(framed.place, limits, deadline)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if stale:  # the first try was sent, so this must not pass for a request that never left
                    raise httpx.ReadError("a kept connection was lost, and no other could be made") from error
                raise
            return await self._carry(fresh, framed, limits, deadline)
        finally:
            self._in_flight -= 1

    async def _carry(self, connection: Connection, framed: Framed, limits: Limits, deadline: float) -> Reply:
        answer = Answer(limits.cap, limits.over, bodiless=framed.bodiless)
        await connection.exchange(framed.head, framed.body, answer, deadline)
        if not connection.closed and not self._closed:
            self._pool.keep(framed.place, connection)
        return answer.reply()

    async def _dial(self, place: Place, limits: Limits, deadline: float) -> Connection:
        if self._tls is None and place.scheme == "https":
            self._tls = httpx.create_ssl_context()  # reads every root certificate: not before somebody needs them
        tls = self._tls if place.scheme == "https" else None
        by = min(deadline, asyncio.get_running_loop().time() + limits.connect_s)
        connection = await dial(place, self._guard, self._resolve[place.trusted], self._connect, tls, by)
        if self._closed:
            connection.close()
            raise httpx.ConnectError("closed")
        self._open.add(connection)
        connection.on_lost = self._lost
        return connection

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._pool.drop(connection)

    def stats(self) -> Stats:
        return Stats(len(self._open), len(self._pool), self._in_flight)

    async def aclose(self) -> None:
        """Ends what is in flight, too: whoever wants it finished waits for it first."""
        self._closed = True
        self._pool.clear()
        for connection in list(self._open):
            connection.close()
        for resolver in self._resolvers:
            resolver.close()
        await asyncio.sleep(0)  # lets the connections hear that they are closed


async def exchange(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request | Post,
    *,
    total_s: float,
    cap: int,
    connect_s: float = CONNECT_S,
    over: Over = "cut",
) -> Reply:
    """Sends, and reads at most `cap` bytes of the body, all before one deadline. Any httpx transport will do; what leaves
    the process leaves by ours, which also says more exactly where it broke."""
    if isinstance(transport, Transport):
        if isinstance(request, httpx.Request):
            await request.aread()
        return await transport.reply(request, Limits(total_s, connect_s, cap, over))
    if isinstance(request, Post):
        request = request.request()
    steps = {"connect": connect_s, "read": total_s, "write": total_s, "pool": total_s, "total": total_s}
    request.extensions = {**request.extensions, "timeout": steps, "cap": cap, "over": over}
    try:
        async with asyncio.timeout(total_s):
            return await _collect(await transport.handle_async_request(request), cap, over)
    except TimeoutError:
        raise httpx.ReadTimeout("no whole answer in time") from None


async def _collect(response: httpx.Response, cap: int, over: Over) -> Reply:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    body = bytearray()
    try:
        async for chunk in response.stream:
            body += chunk[: cap + 1 - len(body)]
            if len(body) > cap:
                if over == "error":
                    raise httpx.RemoteProtocolError(f"longer than {cap} bytes")
                break
    finally:
        await response.aclose()
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(body[:cap]))
