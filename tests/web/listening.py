"""Ears for the live feed: a client of a few lines that can be killed, be deaf for a while, and come back."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import uvicorn

from service.flow.announce import Happening, announce
from tests.world import ADMIN, World

SMALL_BYTES = 16 * 1024
"""Of the kernel's buffers on both sides, so that a deaf reader is noticed after kilobytes and not after megabytes."""


class Server(uvicorn.Server):
    def __init__(self, world: World) -> None:
        config = uvicorn.Config(world.site, http="httptools", ws="none", lifespan="off", log_config=None, backlog=2_048)
        super().__init__(config)
        self.up = asyncio.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BYTES)  # accepted connections inherit both
        self.listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each answer waits 40 ms for an ACK
        self.port: int = self.listening.getsockname()[1]
        self._ears: list[Ear] = []

    async def ear(self, **how: Any) -> "Ear":
        ear = await Ear.open(self.port, **how)
        self._ears.append(ear)
        return ear

    def kill_ears(self) -> None:
        for ear in self._ears:
            ear.kill()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[Server]:
    server = Server(world)
    running = asyncio.create_task(server.serve([server.listening]))
    await server.up.wait()
    try:
        yield server
    finally:
        await world.site.hub.close()
        server.kill_ears()
        server.should_exit = True
        await running


async def happen(world: World, *bodies: bytes, app: str = "default", type: str = "task.queued", ring: bool = True) -> None:
    """Events in one commit, as the one door writes them."""
    happenings = [Happening(app, type, "own", body) for body in bodies]
    await world.db.write(lambda tx: announce(tx, world.parts, happenings))
    if ring:
        world.parts.happened.set()


@dataclass(frozen=True, slots=True)
class Heard:
    id: str
    type: str
    data: bytes


class Ear:
    """One connection, and what came over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._text = b""
        self.status = 0
        self.headers = b""
        self.beats = 0
        self.last_id = ""

    @classmethod
    async def open(
        cls, port: int, after: str = "", query: str = "", key: str = ADMIN, app: str = "default", deaf: bool = False
    ) -> Self:
        sock = socket.socket()
        sock.setblocking(False)
        if deaf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        ear = cls(*await asyncio.open_connection(sock=sock, limit=SMALL_BYTES))
        lines = [f"GET /v1/events{query} HTTP/1.1", "Host: test", "Accept: text/event-stream", f"Authorization: Bearer {key}"]
        lines += [f"Callsheet-App: {app}"] + ([f"Last-Event-ID: {after}"] if after else [])
        ear._writer.write("\r\n".join([*lines, "", ""]).encode())
        ear.headers = await ear._reader.readuntil(b"\r\n\r\n")
        ear.status = int(ear.headers.split()[1])
        if ear.status == 200:
            assert (await ear.block()).startswith("retry: ")
        return ear

    async def block(self) -> str:
        """Up to the next empty line. EOFError: the response has ended as it should; ConnectionError: it broke off."""
        while b"\n\n" not in self._text:
            try:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                self._text += (await self._reader.readexactly(size + 2))[:-2]
            except asyncio.IncompleteReadError as error:
                raise ConnectionError("broke off") from error
            if size == 0:
                raise EOFError
            while self._text.startswith(b":\n"):
                self._text = self._text[2:]
                self.beats += 1
        block, _, self._text = self._text.partition(b"\n\n")
        lines = block.decode().split("\n")
        self.last_id = next((line[4:] for line in lines if line.startswith("id: ")), self.last_id)
        return "\n".join(lines)

    async def event(self) -> Heard:
        id, type, data = (await self.block()).split("\n")
        assert (id[:4], type[:7], data[:6]) == ("id: ", "event: ", "data: ")
        return Heard(id[4:], type[7:], data[6:].encode())

    async def events(self, count: int) -> list[Heard]:
        return [await self.event() for _ in range(count)]

    async def rest(self) -> tuple[list[Heard], type[Exception]]:
        """Whatever still comes, and how it ends."""
        heard = []
        while True:
            try:
                heard.append(await self.event())
            except (EOFError, ConnectionError) as end:
                return heard, EOFError if isinstance(end, EOFError) else ConnectionError

    async def beat(self) -> None:
        """Until a comment came, where nothing else was to come."""
        while not self._text.startswith(b":\n"):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            self._text += (await self._reader.readexactly(size + 2))[:-2]
        assert self._text == b":\n"
        self._text = b""

    def kill(self) -> None:
        """As a lost network does: no goodbye."""
        self._writer.transport.abort()
