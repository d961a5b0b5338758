"""Callbacks in, notices to two subscribers out, nothing left to do at the end: against a Starlette route that stores nothing.

    python -m tests.bench.pipeline [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

Time runs from the first callback until the last delivery is settled. The subscribers are a process of their own, so that
three processes and, on PostgreSQL, its server share the cores.
"""

import asyncio
import time
from collections.abc import Sequence

import httpx

from service.domain.instant import rfc3339
from tests.bench import ground
from tests.bench.harness import Figure, Wanted, ratios, run, say
from tests.bench.listener import ask, listener
from tests.bench.load import Tally, load, post
from tests.bench.seed import callbacks, seed
from tests.bench.servers import cpu_s, free_port, server
from tests.bench.subscribed import subscribed

CALLBACKS = 6_000
"""Of one run."""
NOOPS = 12_000
SUBSCRIPTIONS, CONCURRENCY = 2, 32
MARKS = {"sqlite": (0.20, 0.35), "postgres": (0.18, 0.30)}
WITHIN_S = 120.0
"""After which something was lost."""
LOOK_S = 0.005


async def measure(wanted: Wanted, engine: str) -> Figure:
    counts = wanted.counts(wanted.work(CALLBACKS, CALLBACKS // 3))
    with ground.database_url(engine) as url, listener() as subscribers:
        async with ground.opened(url) as db:
            await subscribed(db, f"http://127.0.0.1:{subscribers}/{{n}}", SUBSCRIPTIONS, CONCURRENCY)
            seeded = await seed(db, (sum(counts) + 1) // 2, ground.clock_ms())
        tokens = ground.tokens()
        news = [post(path, body) for word in ("running", "succeeded") for path, body in callbacks(tokens, seeded, word)]
        ours, theirs = free_port(), free_port()
        env = ground.KEYS | {"CALLSHEET_DATABASE_URL": url, "PORT": str(ours), "BENCH_LOOPS": "1"}
        whole: list[float] = []
        bare: list[float] = []
        cpu_us: list[float] = []
        with server("tests.bench.apps:product", ours, env) as product, server("tests.bench.apps:noop", theirs):
            for turn, many in enumerate(counts):
                done = sum(counts[:turn])
                noop = await load(theirs, news[: wanted.work(NOOPS, NOOPS // 3)])
                began, cpu = time.perf_counter(), cpu_s(product.pid)
                since = rfc3339(ground.clock_ms())
                got = await load(ours, news[done : done + many])
                await told(got, subscribers, (done + many) * SUBSCRIPTIONS)
                await nothing_left(ours, since)
                rate = many / (time.perf_counter() - began)
                spent_us = (cpu_s(product.pid) - cpu) / many * 1e6
                if turn:  # the first warms up
                    whole.append(rate)
                    bare.append(noop.rate)
                    cpu_us.append(spent_us)
                    say(
                        f"pipeline, {engine}: {rate:,.0f} callbacks/s (in at {got.rate:,.0f}/s) of {noop.rate:,.0f}/s,"
                        f" {spent_us:.0f} µs CPU each"
                    )
    rates = {"callbacks/s": whole, "no-op/s": bare, "µs CPU": cpu_us}
    return Figure("pipeline, 2 subscriptions, against a no-op", ratios(whole, bare), *MARKS[engine], engine=engine, rates=rates)


async def told(got: Tally, subscribers: int, count: int) -> None:
    assert set(got.statuses) == {"200"}, got.statuses
    async with asyncio.timeout(WITHIN_S):
        while (came := await ask(subscribers, "count")) < count:  # noqa: ASYNC110 another process knows
            await asyncio.sleep(LOOK_S)
    assert came == count, f"{came} notices of {count}"


async def nothing_left(port: int, since: str) -> None:
    """Every delivery is settled, as the API tells it."""
    headers = {"Authorization": f"Bearer {ground.KEYS['CALLSHEET_ADMIN_KEY']}"}
    params = {"state": "pending", "created_after": since, "limit": 1}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client, asyncio.timeout(WITHIN_S):
        while True:
            answer = await client.get("/v1/deliveries", params=params)
            if not answer.raise_for_status().json()["data"]:
                return
            await asyncio.sleep(LOOK_S)


async def main(wanted: Wanted) -> Sequence[Figure]:
    return [await measure(wanted, engine) for engine in wanted.engines]


if __name__ == "__main__":
    run(main, __doc__)
