"""A subscriber that costs little: it counts names of notices, and answers at once or after a while."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """All subscribers of a bench behind one port."""

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s
        self.port = 0
        self.names: Counter[bytes] = Counter()
        self.first_s = self.last_s = 0.0
        """When the first and the latest notice came, by the loop's clock."""
        self._enough = asyncio.Event()
        self._wanted = 0

    def forget(self) -> None:
        self.names.clear()
        self.first_s = self.last_s = 0.0

    async def until(self, count: int, within_s: float) -> None:
        """So many different notices."""
        self._wanted = count
        self._enough.clear()
        if len(self.names) < count:
            async with asyncio.timeout(within_s):
                await self._enough.wait()

    def take(self, name: bytes, now_s: float) -> None:
        self.names[name] += 1
        self.first_s = self.first_s or now_s
        self.last_s = now_s
        if len(self.names) >= self._wanted:
            self._enough.set()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            fields = head.lower()
            if not found or len(rest) < (length := int(_field(fields, b"content-length") or 0)):
                return
            self._buffer = rest[length:]
            self._receiver.take(_field(fields, b"webhook-id"), self._loop.time())
            if self._receiver.after_s:
                self._loop.call_later(self._receiver.after_s, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(OK)


def _field(head: bytes, name: bytes) -> bytes:
    at = head.find(b"\r\n" + name + b":")
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip() if at >= 0 else b""


@asynccontextmanager
async def receiving(after_s: float = 0.0) -> AsyncIterator[Receiver]:
    receiver = Receiver(after_s)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(receiver), "127.0.0.1", 0, backlog=1_024)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
