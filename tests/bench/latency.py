"""From a callback to the subscriber that hears of it: p50, p95 and p99 at 50, 200 and 1,000 callbacks a second.

    python -m tests.bench.latency [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

Callbacks leave by the clock, whatever became of those before (open loop): a service that falls behind shows it. Time runs
from the instant a callback was to leave until its notice arrives in a process of its own.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from tests.bench import ground
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.listener import ask, listener
from tests.bench.load import post
from tests.bench.seed import callbacks, seed
from tests.bench.servers import cpu_s, free_port, server
from tests.bench.subscribed import subscribed

MARKS: dict[int, tuple[float | None, float | None]] = {50: (None, None), 200: (8.0, None), 1_000: (10.0, 4.0)}
"""Of the p99, in milliseconds, by callbacks a second."""
SECONDS = {50: 1, 200: 3, 1_000: 2}
"""Of one run, by callbacks a second; on a slow machine less, but a second at least."""
CONNECTIONS = 64
CONCURRENCY = 32
WITHIN_S = 30.0
LOOK_S = 0.02


class Caller(asyncio.Protocol):
    """A kept connection of a provider."""

    def __init__(self, free: list["Caller"], statuses: list[bytes]) -> None:
        self._free, self._statuses = free, statuses

    def connection_made(self, transport: Any) -> None:
        self._wire = transport
        self._free.append(self)

    def call(self, request: bytes) -> None:
        self._wire.write(request)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 "):  # else the rest of the answer
            self._statuses.append(data[9:12])
            self._free.append(self)

    def close(self) -> None:
        self._wire.close()


async def called(port: int, requests: Sequence[bytes], rate: int) -> list[float]:
    """When each was to leave."""
    loop = asyncio.get_running_loop()
    free: list[Caller] = []
    statuses: list[bytes] = []
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Caller(free, statuses), "127.0.0.1", port)
    callers = list(free)
    began = time.perf_counter() + 0.05
    due = [began + n / rate for n in range(len(requests))]
    for at, request in zip(due, requests, strict=True):
        while (left := at - time.perf_counter()) > 0 or not free:  # noqa: ASYNC110 by the clock, whatever happened
            await asyncio.sleep(max(left, 0.0005))
        free.pop().call(request)
    async with asyncio.timeout(WITHIN_S):
        while len(statuses) < len(requests):  # noqa: ASYNC110 answers of another process
            await asyncio.sleep(LOOK_S)
    assert set(statuses) == {b"200"}, set(statuses)
    for caller in callers:
        caller.close()
    return due


async def measure(wanted: Wanted, engine: str) -> list[Figure]:
    counts = {rate: wanted.counts(max(rate, wanted.work(rate * SECONDS[rate]))) for rate in MARKS}
    turns = [{rate: counts[rate][turn] for rate in MARKS} for turn in range(wanted.runs + 1)]
    taken: dict[int, list[list[float]]] = {rate: [[], [], []] for rate in MARKS}
    cpu_us: dict[int, list[float]] = {rate: [] for rate in MARKS}
    with ground.database_url(engine) as url, listener() as subscriber:
        async with ground.opened(url) as db:
            await subscribed(db, f"http://127.0.0.1:{subscriber}/", 1, CONCURRENCY)
            seeded = iter(await seed(db, sum(sum(counts.values()) for counts in turns), ground.clock_ms()))
        port, tokens = free_port(), ground.tokens()
        env = ground.KEYS | {"CALLSHEET_DATABASE_URL": url, "PORT": str(port), "BENCH_LOOPS": "1"}
        with server("tests.bench.apps:product", port, env) as product:
            for turn, counts in enumerate(turns):
                for rate, runs in taken.items():
                    some = list(islice(seeded, counts[rate]))
                    cpu = cpu_s(product.pid)
                    due = await called(port, [post(*one) for one in callbacks(tokens, some, "running")], rate)
                    arrived = await arrivals(subscriber, len(some))
                    spent_us = (cpu_s(product.pid) - cpu) / len(some) * 1e6
                    latencies = sorted(1000 * (arrived[s.remote_id] - at) for s, at in zip(some, due, strict=True))
                    figures = [latencies[int(len(latencies) * share)] for share in (0.5, 0.95, 0.99)]
                    if turn:  # the first warms up
                        for run_, figure in zip(runs, figures, strict=True):
                            run_.append(figure)
                        cpu_us[rate].append(spent_us)
                        shown = "p50 {:.1f}, p95 {:.1f}, p99 {:.1f} ms".format(*figures)
                        say(f"latency, {engine}, {rate}/s: {shown}, {spent_us:.0f} µs CPU each")
    return [
        Figure(
            f"callback to subscriber at {rate:,}/s, p99",
            p99s,
            *MARKS[rate],
            lower_is_better=True,
            unit="ms",
            engine=engine,
            rates={"ms p50": p50s, "ms p95": p95s, "µs CPU": cpu_us[rate]},
        )
        for rate, (p50s, p95s, p99s) in taken.items()
    ]


async def arrivals(subscriber: int, count: int) -> dict[str, float]:
    """By the name that the provider gave its task; each once."""
    found: list[tuple[float, str, Any]] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            found += await ask(subscriber, "take")
            await asyncio.sleep(LOOK_S)
    by_name = {body["data"]["task"]["remote_id"]: at for at, _, body in found}
    assert len(by_name) == len(found) == count, "each once"
    return by_name


async def main(wanted: Wanted) -> Sequence[Figure]:
    return [figure for engine in wanted.engines for figure in await measure(wanted, engine)]


if __name__ == "__main__":
    run(main, __doc__)
