"""A load generator that costs little: requests made before, kept connections, one protocol object each."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    extra = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Sends one request after the other; an answer of these servers arrives whole, or its length says when it is."""

    def __init__(self, requests: Iterator[bytes], tally: "Tally") -> None:
        self._requests, self._tally = requests, tally
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head, found, body = data.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            self._buffer = data
            return
        self._buffer = b""
        self._tally.add(head[9:12], time.perf_counter() - self._began)
        self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


@dataclass(slots=True)
class Tally:
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    def add(self, status: bytes, elapsed_s: float) -> None:
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1
        self.latencies.append(elapsed_s)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


async def load(port: int, requests: Sequence[bytes], connections: int = 64) -> Tally:
    """All requests once, over so many kept connections."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    shared = iter(requests)
    began = time.perf_counter()
    made = [await loop.create_connection(lambda: _Connection(shared, tally), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    tally.elapsed_s = time.perf_counter() - began
    return tally
