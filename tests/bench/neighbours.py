"""What three stuck subscribers (one hangs, one is dead, one answers ten megabytes a byte at a time) cost the other 97.

    python -m tests.bench.neighbours [--quick] [--out FILE] [--compare EARLIER.json]

p99 from the commit of an event to its arrival, of the 97, with the three among a hundred against a hundred that answer;
interleaved runs in one process, medians. And how much the memory of the sender grew over a run with the three.
"""

import asyncio
import gc
import os
import tempfile
from collections.abc import Sequence

from service.store import migrate
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.servers import open_files, rss_mib
from tests.flow.couriers import queued
from tests.flow.receivers import Receivers, receivers
from tests.flow.running import courier
from tests.world import Engine, World

GOOD = 97
EVENTS = 30
PAUSE_S = 0.3
"""Between two events of 100 deliveries each: well below what one core carries that plays all the subscribers besides."""
WITHIN = 1.10


async def p99_ms(stuck: bool) -> tuple[float, float]:
    """(p99 of the 97, MiB that the process grew by)."""
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as folder:
        path = f"{folder}/callsheet.db"
        migrate.to_head_sqlite(path)
        async with World(Engine(f"sqlite:///{path}")) as world, receivers() as others, courier(world):
            good = [f"good-{n}" for n in range(GOOD)]
            three = [others.url("hang"), others.url("drip"), "http://127.0.0.1:9/dead"]
            plain = [others.url(f"more-{n}") for n in range(3)]
            for target in [*(three if stuck else plain), *map(others.url, good)]:
                await world.subscribe(target)
            gc.collect()
            before = rss_mib(os.getpid())
            latencies = await _events(world, others, good)
            grown = rss_mib(os.getpid()) - before
    latencies.sort()
    return latencies[int(len(latencies) * 0.99)] * 1000, grown


async def _events(world: World, others: Receivers, good: Sequence[str]) -> list[float]:
    clock = asyncio.get_running_loop().time
    committed: list[float] = []
    next_at = clock()
    for _ in range(EVENTS):
        await queued(world)
        committed.append(clock())
        next_at += PAUSE_S
        await asyncio.sleep(max(0.0, next_at - clock()))
    async with asyncio.timeout(30):
        await others.until(lambda: all(len(others.got[name]) >= EVENTS for name in good))
    return [max(0.0, at - began) for name in good for began, at in zip(committed, sorted(others.arrived[name]), strict=True)]


async def main(wanted: Wanted) -> Sequence[Figure]:
    open_files(8_192)
    ratios, memory = [], []
    for turn in range(wanted.runs + 1):
        alone, _ = await p99_ms(stuck=False)
        beside, grown = await p99_ms(stuck=True)
        if turn:  # the first warms up
            ratios.append(beside / alone)
            memory.append(grown)
            say(f"p99 {alone:.1f} ms without the three, {beside:.1f} ms beside them, {grown:+.1f} MiB")
    return [
        Figure(
            "p99 of 97 subscribers beside 3 stuck ones, against without", ratios, WITHIN, lower_is_better=True, engine="sqlite"
        ),
        Figure("memory grown beside 3 stuck ones", memory, 16, lower_is_better=True, unit="MiB", engine="sqlite"),
    ]


if __name__ == "__main__":
    run(main, __doc__)
