"""Real subscribers on loopback sockets: most answer, one never does, one takes its time over ten megabytes."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"


class Receivers:
    """One server, told apart by path: `/hang`, `/drip`, and all others, which answer at once."""

    def __init__(self) -> None:
        self.got: dict[str, list[str]] = defaultdict(list)
        """Names of notices by path, in order of arrival."""
        self.arrived: dict[str, list[float]] = defaultdict(list)
        self.port = 0
        self._arrival = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    async def until(self, enough: Callable[[], bool]) -> None:
        """Looks at every arrival."""
        while not enough():
            self._arrival.clear()
            await self._arrival.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # RuntimeError: uvloop's word for a connection that is closed.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, RuntimeError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields.get("content-length", "0")))
                path = head.split(" ", 2)[1].strip("/")
                self.got[path].append(fields["webhook-id"])
                self.arrived[path].append(asyncio.get_running_loop().time())
                self._arrival.set()
                match path:
                    case "hang":
                        await asyncio.sleep(3_600)
                    case "drip":
                        writer.write(ENDLESS)
                        while True:
                            writer.write(b"x")
                            await writer.drain()
                            await asyncio.sleep(0.02)
                    case _:
                        writer.write(OK)
        writer.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    made = Receivers()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=512)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.stop()
