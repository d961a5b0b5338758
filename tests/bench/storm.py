"""Senders that do not wait for each other: callbacks by the clock, over whatever connection is free, or a new one.

    python -m tests.bench.storm PORT FILE CONNECTIONS < phases and callbacks as JSON

A process of its own, so that a late answer is the service's lateness. Each callback has a number; those that were
acknowledged are named, so that they can be looked for. A sender gives up after 5 s, as Ark does.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import uvloop

from tests.bench.servers import open_files

PATIENCE_S = 5.0
TICK_S = 0.001
NORMAL_TIMES, NORMAL_MS = 2.0, 20.0
"""Normal again: all are taken, and a second's 99th percentile is at most this many times that of the worst second before, or
this."""
NUMBER = b"000000000"
"""In a callback's body, in place of its number: as wide as any."""


@dataclass(slots=True)
class Phase:
    """What became of the callbacks of one stretch of time."""

    rate: int
    lasting_s: float
    acknowledged: list[int] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    taken_ms: list[float] = field(default_factory=list)
    """How long each acknowledgement took,"""
    refused_ms: list[float] = field(default_factory=list)
    """and each 503."""
    without_retry_after: int = 0
    given_up: int = 0
    hung_up: int = 0
    """By the service, before it answered."""
    not_sent: int = 0
    """No connection was free, and there may be no more."""
    late_ms: float = 0.0
    """The longest that the senders themselves were kept waiting: below that nothing here is the service's."""


class Sender(asyncio.Protocol):
    def __init__(self, storm: "Storm") -> None:
        self._storm = storm
        self._buffer = b""
        self.phase: Phase | None = None
        self.began = 0.0
        self.number = 0
        self.over = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, phase: Phase, number: int, request: bytes) -> None:
        self.phase, self.number, self.began = phase, number, time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head, found, body = data.partition(b"\r\n\r\n")
        lower = head.lower()
        if not found or len(body) < _length(lower):
            self._buffer = data
            return
        self._buffer = b""
        phase, self.phase = self.phase, None
        if phase is None:
            return
        status = head[9:12].decode()
        taken_ms = (time.perf_counter() - self.began) * 1000
        phase.statuses[status] = phase.statuses.get(status, 0) + 1
        if status == "200":
            phase.acknowledged.append(self.number)
            phase.taken_ms.append(taken_ms)
        else:
            self._storm.again.append(self.number)
            if status == "503":
                phase.refused_ms.append(taken_ms)
                phase.without_retry_after += b"\r\nretry-after:" not in lower
        if b"\r\nconnection: close" in lower:
            self.over = True
        else:
            self._storm.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self._storm.open -= 1
        if self.phase is not None:
            self.phase.hung_up += 1
            self._storm.again.append(self.number)
            self.phase = None


def _length(head: bytes) -> int:
    at = head.find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class Storm:
    def __init__(self, port: int, connections: int, first: int, requests: Sequence[bytes]) -> None:
        self._port, self._limit, self._number, self._requests = port, connections, first, requests
        self.free: list[Sender] = []
        self.again: deque[int] = deque()
        """What was refused comes again, as a provider's does."""
        self.open = 0
        self._under_way: deque[tuple[float, Sender]] = deque()
        """Since when; a sender may be at something else by now."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, phase: Phase) -> None:
        began = time.perf_counter()
        sent, last = 0, 0.0
        while (now := time.perf_counter() - began) < phase.lasting_s:
            phase.late_ms = max(phase.late_ms, (now - last) * 1000)
            last = now
            due = int(now * phase.rate)
            for _ in range(due - sent):
                self._one(phase)
            sent = due
            self._give_up()
            await asyncio.sleep(TICK_S)

    def _one(self, phase: Phase) -> None:
        while self.free:
            sender = self.free.pop()
            if not sender.over:
                self._send(sender, phase)
                return
        if self.open >= self._limit:
            phase.not_sent += 1
            return
        self.open += 1
        task = asyncio.create_task(self._dial(phase))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, phase: Phase) -> None:
        try:
            connecting = asyncio.get_running_loop().create_connection(lambda: Sender(self), "127.0.0.1", self._port)
            _, sender = await asyncio.wait_for(connecting, PATIENCE_S)
        except (OSError, TimeoutError):
            self.open -= 1
            phase.hung_up += 1
            return
        self._send(sender, phase)

    def _send(self, sender: Sender, phase: Phase) -> None:
        if self.again:
            number = self.again.popleft()
        else:
            number, self._number = self._number, self._number + 1
        request = self._requests[number % len(self._requests)].replace(NUMBER, b"%09d" % number)
        sender.send(phase, number, request)
        self._under_way.append((sender.began, sender))

    def _give_up(self) -> None:
        late = time.perf_counter() - PATIENCE_S
        while self._under_way and self._under_way[0][0] < late:
            began, sender = self._under_way.popleft()
            if sender.phase is not None and sender.began == began:
                sender.phase.given_up += 1
                sender.phase = None
                self.again.append(sender.number)
                sender.transport.abort()


def normal_ms(before_ms: Sequence[Sequence[float]]) -> float:
    return max(NORMAL_TIMES * max(map(p99, before_ms)), NORMAL_MS)


def calm(statuses: Mapping[str, int], taken_ms: Sequence[float], normal: float) -> bool:
    return set(statuses) == {"200"} and p99(taken_ms) <= normal


def p99(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0


async def main() -> None:
    port, file, connections = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    asked = orjson.loads(sys.stdin.buffer.read())
    allowed = open_files(connections + 100) - 100
    storm = Storm(port, min(connections, allowed), asked["first"], [request.encode() for request in asked["requests"]])
    phases = [Phase(rate, lasting_s) for rate, lasting_s in asked["phases"]]
    normal = 0.0
    for number, phase in enumerate(phases, start=1):
        await storm.run(phase)
        if number == asked["before"]:
            normal = normal_ms([before.taken_ms for before in phases[:number]])
        if number >= asked["least"] and all(calm(p.statuses, p.taken_ms, normal) for p in phases[number - 2 : number]):
            break  # it is over, and stays so
    with open(file, "wb") as out:  # noqa: ASYNC230 (nothing else happens any more)
        out.writelines(orjson.dumps(asdict(phase)) + b"\n" for phase in phases[:number])


if __name__ == "__main__":
    uvloop.run(main())
