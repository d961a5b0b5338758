"""What three stuck subscribers (one hangs, one is dead, one answers ten megabytes a byte at a time) cost the other 97.

    python -m tests.bench.neighbours [--quick] [--out FILE] [--compare EARLIER.json]

p99 from the commit of an event to its arrival, of the 97, with the three among a hundred against a hundred that answer. The
97 are a process of their own, so that what is measured is the sender's doing; runs with and without the three take turns,
and turns at going first. The same of the sender's CPU for all of it, which another tenant of the machine does not spoil; and how
much its memory grew over a run with the three.
"""

import asyncio
import gc
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence

from service.store import migrate
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.listener import ask, listener
from tests.bench.servers import open_files, rss_mib
from tests.flow.couriers import queued
from tests.flow.receivers import receivers
from tests.flow.running import courier
from tests.world import Engine, World

GOOD = 97
EVENTS = 40
"""The 97 hear of one event at nearly one moment. Of ten events the p99 would be the slowest one: whatever else this machine did
just then, and nothing about neighbours."""
PAUSE_S = 0.1
"""Between two events of 100 deliveries each: well below what one core carries."""
WARM_UP = 5
"""Events before: connections are made, and lanes prove that they work."""
WITHIN = 1.10
WITHIN_S = 30.0


async def measure(stuck: bool, events: int) -> tuple[float, float, float]:
    """(p99 of the 97 in ms, seconds of CPU, MiB that the process grew by)."""
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as folder, listener() as port:
        path = f"{folder}/callsheet.db"
        migrate.to_head_sqlite(path)
        async with World(Engine(f"sqlite:///{path}")) as world, receivers() as others, courier(world):
            three = [others.url("hang"), others.url("drip"), "http://127.0.0.1:9/dead"]
            plain = [others.url(f"more-{n}") for n in range(3)]
            for target in [*(three if stuck else plain), *(f"http://127.0.0.1:{port}/{n}" for n in range(GOOD))]:
                await world.subscribe(target)
            gc.collect()
            before, cpu_s = rss_mib(os.getpid()), time.process_time()
            latencies = sorted(await _latencies(world, port, events))
            grown, cpu_s = rss_mib(os.getpid()) - before, time.process_time() - cpu_s
    return latencies[int(len(latencies) * 0.99)] * 1000, cpu_s, grown


async def _latencies(world: World, port: int, events: int) -> list[float]:
    committed: list[float] = []
    next_at = time.perf_counter()
    for _ in range(WARM_UP + events):
        await queued(world)
        committed.append(time.perf_counter())
        next_at += PAUSE_S
        await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
    async with asyncio.timeout(WITHIN_S):
        while await ask(port, "count") < GOOD * (WARM_UP + events):  # noqa: ASYNC110 another process knows
            await asyncio.sleep(0.02)
    arrived: dict[str, list[float]] = defaultdict(list)
    for at, path, _ in await ask(port, "take"):
        arrived[path].append(at)
    pairs = [pair for ats in arrived.values() for pair in list(zip(committed, sorted(ats), strict=True))[WARM_UP:]]
    return [max(0.0, at - began) for began, at in pairs]


async def main(wanted: Wanted) -> Sequence[Figure]:
    open_files(8_192)
    ratios, cpu, memory = [], [], []
    for turn, events in enumerate(wanted.counts(max(EVENTS // 2, wanted.work(EVENTS)))):
        measured = {stuck: await measure(stuck, events) for stuck in ((False, True) if turn % 2 else (True, False))}
        (alone, alone_s, _), (beside, beside_s, grown) = measured[False], measured[True]
        if turn:  # the first warms up
            ratios.append(beside / alone)
            cpu.append(beside_s / alone_s)
            memory.append(grown)
            say(f"p99 {alone:.1f} ms without the three, {beside:.1f} ms beside them, {grown:+.1f} MiB")
    return [
        Figure(
            "p99 of 97 subscribers beside 3 stuck ones, against without", ratios, WITHIN, lower_is_better=True, engine="sqlite"
        ),
        Figure("CPU beside 3 stuck ones, against without", cpu, WITHIN, lower_is_better=True, engine="sqlite"),
        Figure("memory grown beside 3 stuck ones", memory, 16, lower_is_better=True, unit="MiB", engine="sqlite"),
    ]


if __name__ == "__main__":
    run(main, __doc__)
