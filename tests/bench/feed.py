"""What an idle reader of the live feed costs, with ten thousand of them.

    python -m tests.bench.feed [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

The memory of the service with so many readers, less what it was before, by reader; and its share of a core while nothing
happens but the beats. Then one event: how long until the last reader has it. Where the machine allows fewer open files,
there are fewer readers, and it says so.
"""

import asyncio
import http.client
import time
from collections.abc import Sequence
from typing import Any

import orjson

from tests.bench import ground
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.servers import cpu_s, free_port, open_files, rss_mib, service
from tests.until import until

READERS = 10_000
FILES_BESIDES = 1_000
"""That the two processes need for themselves."""
AT_ONCE = 200
"""Connections being opened: below the backlog of the listening socket."""
IDLE_S = 10.0
"""One beat of every reader is in it."""
KIB = (20.0, 14.0)
GIVE_UP_S = 60.0
ADMIN = ground.KEYS["CALLSHEET_ADMIN_KEY"]
ASK = f"GET /v1/events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode()


class Crowd:
    """Counts readers that were greeted, and those that have the event."""

    def __init__(self) -> None:
        self.greeted = self.told = self.lost = 0
        self.all: list[Any] = []


class Listener(asyncio.Protocol):
    __slots__ = ("_crowd", "_greeted", "_transport")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd, self._greeted = crowd, False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(ASK)

    def data_received(self, data: bytes) -> None:
        if not self._greeted and b"retry:" in data:
            self._greeted = True
            self._crowd.greeted += 1
        if b"event: task." in data:
            self._crowd.told += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.lost += 1


async def crowd_of(port: int, count: int) -> Crowd:
    crowd = Crowd()
    loop = asyncio.get_running_loop()
    for start in range(0, count, AT_ONCE):
        many = min(AT_ONCE, count - start)
        opened = [loop.create_connection(lambda: Listener(crowd), "127.0.0.1", port) for _ in range(many)]
        crowd.all += [transport for transport, _ in await asyncio.gather(*opened)]
        async with asyncio.timeout(GIVE_UP_S):
            await until(lambda: crowd.greeted >= len(crowd.all))
    return crowd


def order(port: int) -> None:
    """One event for everybody: the provider's address leads nowhere, but the order can be cancelled, which is one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    body = orjson.dumps({"model": "seedance-1-0-pro-250528", "prompt": "a paper boat"})
    connection.request("POST", "/v1/tasks", body, headers)
    made = orjson.loads(connection.getresponse().read())
    connection.request("POST", f"/v1/tasks/{made['id']}/cancel", b"{}", headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    connection.close()


async def once(url: str, count: int, idle_s: float) -> tuple[float, float | None, float]:
    """(KiB a reader, share of a core when idle, seconds until the last has an event)."""
    port = free_port()
    nowhere = free_port()
    env = ground.KEYS | {"CALLSHEET_DATABASE_URL": url, "CALLSHEET_ARK_BASE_URL": f"http://127.0.0.1:{nowhere}"}
    with service(port, env) as process:
        warm = await crowd_of(port, 50)
        before = rss_mib(process.pid)
        crowd = await crowd_of(port, count - 50)
        kib = (rss_mib(process.pid) - before) * 1024 / (count - 50)
        spent = cpu_s(process.pid)
        await asyncio.sleep(idle_s)
        share = (cpu_s(process.pid) - spent) / idle_s if idle_s else None
        began = time.perf_counter()
        await asyncio.to_thread(order, port)
        async with asyncio.timeout(GIVE_UP_S):
            await until(lambda: crowd.told + warm.told >= count)
        told_s = time.perf_counter() - began
        assert crowd.lost + warm.lost == 0, "readers were cut off"
        for transport in crowd.all + warm.all:
            transport.abort()
    return kib, share, told_s


async def main(wanted: Wanted) -> Sequence[Figure]:
    allowed = open_files(READERS + FILES_BESIDES) - FILES_BESIDES
    count = min(wanted.work(READERS, READERS // 5), allowed)
    if count < READERS:
        say(f"feed: {count:,} readers, not {READERS:,}")
    figures = []
    for engine in wanted.engines:
        kib: list[float] = []
        share: list[float] = []
        told: list[float] = []
        for turn in range(wanted.pick(2 if engine == "sqlite" and wanted.pace > 0.5 else 1, 1)):
            with ground.database_url(engine) as url:
                if engine == "postgres":
                    async with ground.opened(url):
                        pass
                one = await once(url, count, wanted.pick(IDLE_S, 2.0) if turn == 0 else 0.0)
            kib.append(one[0])
            share += [] if one[1] is None else [one[1]]
            told.append(one[2])
            say(f"feed, {engine}: {one[0]:.1f} KiB a reader, {share[0]:.1%} of a core idle, one event to all in {one[2]:.2f} s")
        rates = {"readers": [float(count)], "of a core, idle": share, "s for one event to all": told}
        name = "memory of an idle feed reader"
        figures.append(Figure(name, kib, *KIB, lower_is_better=True, unit="KiB", engine=engine, rates=rates))
    return figures


if __name__ == "__main__":
    run(main, __doc__)
