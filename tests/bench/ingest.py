"""Durable callbacks a second with one subscription and 64 connections: against a Starlette route that stores nothing, and
against the same transaction as most would write it (naive.py).

    python -m tests.bench.ingest [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

The three take turns. The naive build is slow, so that its turns are short.
"""

from collections.abc import Sequence

from tests.bench import ground
from tests.bench.harness import Figure, Wanted, ratios, run, say
from tests.bench.load import Tally, load, post
from tests.bench.seed import callbacks, seed
from tests.bench.servers import cpu_s, free_port, server
from tests.bench.subscribed import subscribed

CALLBACKS = 12_000
"""Of one run."""
NOOPS = 30_000
NAIVE = 400
MARKS = {"sqlite": (0.28, 0.50), "postgres": (0.35, 0.50)}
NAIVE_MARKS = (15.0, 30.0)


async def measure(wanted: Wanted, engine: str) -> list[Figure]:
    many, turns = wanted.pick(CALLBACKS, CALLBACKS // 4), wanted.runs + 1
    with ground.database_url(engine) as url, ground.database_url(engine) as naive_url:
        news = await filled(url, many * turns)
        naive_news = await filled(naive_url, NAIVE * turns)
        ours, theirs, plain = free_port(), free_port(), free_port()
        stored: list[float] = []
        bare: list[float] = []
        slow: list[float] = []
        cpu_us: list[float] = []
        with (
            server("tests.bench.apps:product", ours, served(url, ours)) as product,
            server("tests.bench.apps:noop", theirs),
            server("tests.bench.naive:naive", plain, served(naive_url, plain)),
        ):
            for turn in range(turns):
                noop = await load(theirs, news[: wanted.pick(NOOPS, NOOPS // 3)])
                before = cpu_s(product.pid)
                got = whole(await load(ours, news[turn * many : (turn + 1) * many]))
                spent_us = (cpu_s(product.pid) - before) / many * 1e6
                naive = whole(await load(plain, naive_news[turn * NAIVE : (turn + 1) * NAIVE], 16))
                if turn:  # the first warms up
                    stored.append(got.rate)
                    bare.append(noop.rate)
                    slow.append(naive.rate)
                    cpu_us.append(spent_us)
                    say(
                        f"ingest, {engine}: {got.rate:,.0f}/s of {noop.rate:,.0f}/s, naive {naive.rate:,.0f}/s,"
                        f" p99 {got.percentile_ms(0.99):.1f} ms, {spent_us:.0f} µs CPU each"
                    )
    rates = {"callbacks/s": stored, "no-op/s": bare, "µs CPU": cpu_us}
    return [
        Figure("ingest against a no-op", ratios(stored, bare), *MARKS[engine], engine=engine, rates=rates),
        Figure("ingest against naive.py", ratios(stored, slow), *NAIVE_MARKS, engine=engine, rates={"naive/s": slow}),
    ]


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
