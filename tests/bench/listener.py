"""A subscriber that costs little, as a process of its own: answers 204 to everything, and can tell what came, and when.

`GET /count` says how many requests came, `GET /take` what came since it was last asked: a list of [when, path, body], with
the time of the machine's monotonic clock, which all its processes share.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from tests.bench.servers import child, free_port, listening

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
KEPT = 200_000
"""Arrivals remembered; what comes after is counted only."""


class Arrivals:
    def __init__(self) -> None:
        self.count = 0
        self.kept: list[tuple[float, bytes, bytes]] = []


class Listener(asyncio.Protocol):
    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            whole = end + 4 + _length(data[:end])
            if len(data) < whole:
                break
            self._got(data[:end], data[end + 4 : whole])
            data = data[whole:]
        self._buffer = data

    def _got(self, head: bytes, body: bytes) -> None:
        arrivals = self._arrivals
        method, path, _ = head.split(b" ", 2)
        if method == b"POST":
            arrivals.count += 1
            if len(arrivals.kept) < KEPT:
                arrivals.kept.append((time.perf_counter(), path, body))
            self._wire.write(ANSWER)
            return
        told: Any = arrivals.count
        if path == b"/take":
            told = [(at, path.decode(), json.loads(body)) for at, path, body in arrivals.kept]
            arrivals.kept = []
        out = json.dumps(told).encode()
        self._wire.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(out) + out)
        self._wire.close()


def _length(head: bytes) -> int:
    at = head.find(b"ontent-Length: ")
    if at < 0:
        head = head.title()
        at = head.find(b"ontent-Length: ")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


@contextmanager
def listener() -> Iterator[int]:
    """The port of one that listens."""
    port = free_port()
    with child(["-m", "tests.bench.listener", str(port)], {}) as process:
        listening(port, process)
        yield port


async def ask(port: int, what: str) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /{what} HTTP/1.1\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def _serve(port: int) -> None:
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(lambda: Listener(arrivals), "127.0.0.1", port, backlog=1_024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
