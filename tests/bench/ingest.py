"""Durable callbacks a second with one subscription and 64 connections: against a Starlette route that stores nothing, and
against the same transaction as most would write it (naive.py).

    python -m tests.bench.ingest [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

They take turns; on PostgreSQL two processes of ours, too. The naive build is slow, so that its turns are short.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice

from tests.bench import ground
from tests.bench.harness import Figure, Wanted, ratios, run, say
from tests.bench.load import Tally, load, post
from tests.bench.seed import callbacks, seed
from tests.bench.servers import cpu_s, free_port, server
from tests.bench.subscribed import subscribed

CALLBACKS = 6_000
"""Of one run."""
NOOPS = 12_000
NAIVE = 200
MARKS = {"sqlite": (0.28, 0.50), "postgres": (0.35, 0.50)}
NAIVE_MARKS = (15.0, 30.0)


async def measure(wanted: Wanted, engine: str) -> list[Figure]:
    counts = wanted.counts(wanted.work(CALLBACKS, CALLBACKS // 4))
    with ground.database_url(engine) as url, ground.database_url(engine) as naive_url, ExitStack() as stack:
        news = await filled(url, sum(counts) * (2 if engine == "postgres" else 1))
        for_one, for_two = iter(news[: sum(counts)]), iter(news[sum(counts) :])
        naive_counts = wanted.counts(wanted.work(NAIVE))
        for_naive = iter(await filled(naive_url, sum(naive_counts)))
        noops = news[:1] * wanted.work(NOOPS, NOOPS // 2)
        ours, theirs, plain, second = (free_port() for _ in range(4))
        product = stack.enter_context(server("tests.bench.apps:product", ours, served(url, ours)))
        stack.enter_context(server("tests.bench.apps:noop", theirs))
        stack.enter_context(server("tests.bench.naive:naive", plain, served(naive_url, plain)))
        if engine == "postgres":  # SQLite holds one process
            stack.enter_context(server("tests.bench.apps:product", second, served(url, second)))
        seen: dict[str, list[float]] = {name: [] for name in ("stored", "bare", "naive", "both", "µs")}
        for turn, (many, few) in enumerate(zip(counts, naive_counts, strict=True)):
            noop = await load(theirs, noops)
            before = cpu_s(product.pid)
            got = whole(await load(ours, list(islice(for_one, many))))
            spent_us = (cpu_s(product.pid) - before) / many * 1e6
            naive = whole(await load(plain, list(islice(for_naive, few)), 16))
            both = await two(ours, second, list(islice(for_two, many))) if engine == "postgres" else 0.0
            if turn:  # the first warms up
                for runs, rate in zip(seen.values(), (got.rate, noop.rate, naive.rate, both, spent_us), strict=True):
                    runs.append(rate)
                say(
                    f"ingest, {engine}: {got.rate:,.0f}/s of {noop.rate:,.0f}/s, naive {naive.rate:,.0f}/s,"
                    f" p99 {got.percentile_ms(0.99):.1f} ms, {spent_us:.0f} µs CPU each"
                    + (f"; two processes {both:,.0f}/s" if both else "")
                )
    rates = {"callbacks/s": seen["stored"], "no-op/s": seen["bare"], "µs CPU": seen["µs"]}
    figures = [
        Figure("ingest against a no-op", ratios(seen["stored"], seen["bare"]), *MARKS[engine], engine=engine, rates=rates),
        Figure(
            "ingest against naive.py",
            ratios(seen["stored"], seen["naive"]),
            *NAIVE_MARKS,
            engine=engine,
            rates={"naive/s": seen["naive"]},
        ),
    ]
    if engine == "postgres":
        of_two = ratios(seen["both"], seen["bare"])
        figures.append(
            Figure("ingest by two processes against a no-op", of_two, engine=engine, rates={"callbacks/s": seen["both"]})
        )
    return figures


async def two(one: int, other: int, news: list[bytes]) -> float:
    """Callbacks a second that two processes on one database store together."""
    middle = len(news) // 2
    parts = await asyncio.gather(load(one, news[:middle], 32), load(other, news[middle:], 32))
    return len(news) / max(whole(part).elapsed_s for part in parts)


async def filled(url: str, count: int) -> list[bytes]:
    """So many callbacks, each of them news: `running` for every task, then `succeeded` for every task."""
    async with ground.opened(url) as db:
        await subscribed(db, "http://127.0.0.1:9/nobody-listens", 1)
        seeded = await seed(db, (count + 1) // 2, ground.clock_ms())
    tokens = ground.tokens()
    return [post(path, body) for status in ("running", "succeeded") for path, body in callbacks(tokens, seeded, status)]


def served(url: str, port: int) -> dict[str, str]:
    return ground.KEYS | {"CALLSHEET_DATABASE_URL": url, "PORT": str(port)}


def whole(tally: Tally) -> Tally:
    assert set(tally.statuses) == {"200"}, tally.statuses
    return tally


async def main(wanted: Wanted) -> Sequence[Figure]:
    return [figure for engine in wanted.engines for figure in await measure(wanted, engine)]


if __name__ == "__main__":
    run(main, __doc__)
