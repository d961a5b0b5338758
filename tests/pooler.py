"""A pooler in transaction mode, as small as it can be: every transaction gets the next of a few server connections.

    async with pooling(url) as pooled_url: ...

Like PgBouncer it knows no session: it refuses settings at the start of one, and what a client left behind in a server
connection (a prepared statement, a SET, a LISTEN) is met there by somebody else.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

SERVERS = 2
SSL_REQUEST = 80_877_103
KNOWN = {b"user", b"database", b"client_encoding", b"application_name"}
"""Settings that PgBouncer accepts at the start of a session, as far as we send them."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


def packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    length, code = struct.unpack("!ii", await reader.readexactly(8))
    return code, await reader.readexactly(length - 8)


class Pooler:
    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._free: asyncio.Queue[Stream] = asyncio.Queue()
        self._greeting = b""
        self.transactions = 0

    async def open(self, user: bytes, database: bytes) -> None:
        for _ in range(SERVERS):
            reader, writer = await asyncio.open_connection(self._host, self._port)
            settings = b"user\0" + user + b"\0database\0" + database + b"\0client_encoding\0utf-8\0\0"
            writer.write(struct.pack("!ii", len(settings) + 8, 196_608) + settings)
            greeting = b""
            kind = b""
            while kind != b"Z":
                kind, body = await message(reader)
                greeting += packed(kind, body)
            self._greeting = greeting
            self._free.put_nowait((reader, writer))

    async def close(self) -> None:
        while not self._free.empty():
            _, writer = self._free.get_nowait()
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code, body = await startup(reader)
        if code == SSL_REQUEST:
            writer.write(b"N")
            _, body = await startup(reader)
        if unknown := set(body.rstrip(b"\0").split(b"\0")[::2]) - KNOWN:
            text = b"unsupported startup parameter: " + sorted(unknown)[0]
            writer.write(packed(b"E", b"SFATAL\0VFATAL\0C08P01\0M" + text + b"\0\0"))
            return
        writer.write(self._greeting)
        held: list[Stream] = []
        pump: asyncio.Task[None] | None = None
        while True:
            kind, body = await message(reader)
            if kind == b"X":
                return
            if not held:
                held.append(await self._free.get())
                self.transactions += 1
                pump = asyncio.create_task(self._pump(held, writer))
            held[0][1].write(packed(kind, body))
            assert pump is not None

    async def _pump(self, held: list[Stream], writer: asyncio.StreamWriter) -> None:
        """Until the server is outside of any transaction."""
        while True:
            kind, body = await message(held[0][0])
            over = kind == b"Z" and body == b"I"
            if over:
                self._free.put_nowait(held.pop())
            writer.write(packed(kind, body))
            if over:
                return


@asynccontextmanager
async def pooling(url: str) -> AsyncIterator[tuple[str, Pooler]]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    pooler = Pooler(parts.hostname, parts.port)
    await pooler.open((parts.username or "").encode(), parts.path.lstrip("/").encode())
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}")), pooler
    finally:
        server.close()
        await pooler.close()
