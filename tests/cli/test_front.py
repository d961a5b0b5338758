"""The front of the server: who is turned away before the application hears of him."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.cli import front
from service.cli.front import SMALL, Bounded

pytestmark = pytest.mark.anyio


class Behind:
    """An application that answers with what it read."""

    crowded = False
    away = 0

    def turned_away(self) -> None:
        self.away += 1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(app: Behind) -> AsyncIterator[int]:
    started = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(app, http=Bounded, ws="none", lifespan="off", log_config=None)
    server = Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve([listening]))
    await started.wait()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await running


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, str, bytes]:
        """(status, head, body)"""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        return int(head.split()[1]), head, await self._reader.readexactly(length)

    async def ask(self, request: bytes) -> tuple[int, str, bytes]:
        self.writer.write(request)
        return await self.answer()

    async def ended(self) -> bool:
        return await self._reader.read() == b""


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(60):
            yield Client(reader, writer)
    finally:
        writer.close()


def post(body: bytes = b"news", *fields: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: test", *fields, b"Content-Length: %d" % len(body), b"", body])


async def test_in_a_crowd_a_post_is_turned_away_and_the_connection_kept() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        assert (await caller.ask(post()))[0] == 200
        app.crowded = True
        status, head, _ = await caller.ask(post())
        assert (status, "retry-after: 1\r\n" in head, "connection: close" in head) == (503, True, False)
        assert (await caller.ask(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"))[0] == 200, "whoever only looks is served"
        app.crowded = False
        assert (await caller.ask(post(b"later")))[2] == b"later"
        assert app.away == 1


async def test_the_body_of_whoever_was_turned_away_is_nobodys_request() -> None:
    app = Behind()
    app.crowded = True
    async with serving(app) as port, client(port) as caller:
        head, body = post(post(b"smuggled")).split(b"\r\n\r\n", 1)
        assert (await caller.ask(head + b"\r\n\r\n"))[0] == 503
        app.crowded = False
        caller.writer.write(body)
        assert (await caller.ask(post(b"mine")))[2] == b"mine"


async def test_a_large_body_is_left_to_the_application_which_need_not_read_it() -> None:
    app = Behind()
    app.crowded = True
    async with serving(app) as port, client(port) as caller:
        assert (await caller.ask(post(b"x" * (SMALL + 1))))[0] == 200
        assert app.away == 0


async def test_one_connection_too_many_is_told_to_come_again_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "CONNECTIONS", 2)
    async with serving(Behind()) as port, client(port) as one, client(port) as other:
        assert (await one.ask(post()))[0] == (await other.ask(post()))[0] == 200
        async with client(port) as third:
            status, head, _ = await third.ask(post())
            assert (status, "retry-after: 1\r\n" in head) == (503, True)
            assert await third.ended()
        assert (await one.ask(post()))[0] == 200
