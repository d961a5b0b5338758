"""The front of the server before an application that says what it was asked."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from service.cli.front import Bounded


class Behind:
    """An application that answers with what it read."""

    crowded = False
    away = 0
    server: uvicorn.Server

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Paths that came as requests."""
        self.knocked: list[tuple[str, str, bytes, Callable[[int], None]]] = []
        self.held: asyncio.Event | None = None
        """Set it, and requests are answered; none: at once."""
        self.refusing = False
        """Answers before the body is here."""
        self.long = b""
        """Answered in place of what was read."""
        self.telling = False
        """Answers without end, as the live feed does."""
        self.missed = 0
        """Whoever was answered no more."""

    def is_crowded(self) -> bool:
        return self.crowded

    def turned_away(self) -> None:
        self.away += 1

    def knock(self, provider: str, token: str, body: bytes, answer: Callable[[int], None]) -> bool:
        if provider == "nobody":
            return False
        self.knocked.append((provider, token, body, answer))
        if token != "later":
            answer(404 if token == "wrong" else 200)
        return True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        body, status = b"", 404 if self.refusing else 200
        while not self.refusing:
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                self.missed += 1
                return
            if not message.get("more_body"):
                break
        if self.telling:
            await self._tell(receive, send)
            return
        if self.held is not None and await self._gone(receive):
            self.missed += 1
            return
        body = self.long or body
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _tell(self, receive: Any, send: Any) -> None:
        leaving = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0)
        self.missed += leaving.result()["type"] == "http.disconnect"

    async def _gone(self, receive: Any) -> bool:
        assert self.held is not None
        leaving, going_on = asyncio.ensure_future(receive()), asyncio.ensure_future(self.held.wait())
        await asyncio.wait((leaving, going_on), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        going_on.cancel()
        return not self.held.is_set()


@asynccontextmanager
async def serving(app: Behind, buffer: int | None = None, keep_s: float = 60) -> AsyncIterator[int]:
    started = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(app, http=Bounded, ws="none", lifespan="off", log_config=None, proxy_headers=False)
    config.timeout_keep_alive = keep_s  # type: ignore[assignment]  # it takes whole seconds from a command line
    server = app.server = Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    if buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
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

    async def continued(self) -> int:
        """The status after the word that the body may come."""
        assert (await self._reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        return (await self.answer())[0]

    async def ended(self) -> bool:
        return await self._reader.read() == b""

    async def cut(self) -> bool:
        """Ended, and not politely."""
        try:
            return await self.ended()
        except ConnectionError:
            return True


@asynccontextmanager
async def client(port: int, buffer: int | None = None) -> AsyncIterator[Client]:
    made = socket.socket()
    if buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=made, limit=buffer or 65_536)
    try:
        async with asyncio.timeout(60):
            yield Client(reader, writer)
    finally:
        writer.close()


def post(body: bytes = b"news", *fields: bytes, path: bytes = b"/") -> bytes:
    return b"\r\n".join([b"POST %b HTTP/1.1" % path, b"Host: test", *fields, b"Content-Length: %d" % len(body), b"", body])


def callback(token: bytes = b"right", body: bytes = b"news", *fields: bytes) -> bytes:
    return post(body, *fields, path=b"/callbacks/ark/" + token)
