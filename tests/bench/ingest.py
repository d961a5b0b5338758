"""Durable callbacks a second with one subscription, 64 connections, against a Starlette route that stores nothing.

python -m tests.bench.ingest [--json FILE] [sqlite] [postgres]
"""

import sys
from collections.abc import Sequence

from tests.bench import ground
from tests.bench.harness import RUNS, Figure, free_port, load, post, ratios, run, server
from tests.bench.seed import callbacks, seed
from tests.bench.subscribed import subscribed

CALLBACKS = 12_000
"""Of one run."""
NOOPS = 30_000
MARKS = {"sqlite": (0.28, 0.50), "postgres": (0.35, 0.50)}


async def measure(engine: str) -> Figure:
    with ground.database_url(engine) as url:
        async with ground.opened(url) as db:
            await subscribed(db, "http://127.0.0.1:9/nobody-listens", 1)
            seeded = await seed(db, CALLBACKS * RUNS // 2 + CALLBACKS, ground.clock_ms())
        requests = [
            post(path, body) for status in ("running", "succeeded") for path, body in callbacks(ground.tokens(), seeded, status)
        ]
        mine, theirs = free_port(), free_port()
        env = ground.KEYS | {"CALLSHEET_DATABASE_URL": url, "PORT": str(mine)}
        with server("tests.bench.apps:product", mine, env), server("tests.bench.apps:noop", theirs):
            stored, bare = [], []
            at = 0
            for turn in range(RUNS + 1):
                noop = await load(theirs, requests[:NOOPS])
                got = await load(mine, requests[at : at + CALLBACKS])
                at += CALLBACKS
                assert got.statuses == {"200": CALLBACKS}, got.statuses
                if turn:  # the first warms both up
                    stored.append(got.rate)
                    bare.append(noop.rate)
                    print(
                        f"  {engine}: {got.rate:,.0f}/s of {noop.rate:,.0f}/s, p99 {got.percentile_ms(0.99):.1f} ms",
                        file=sys.stderr,
                    )
    mark, after = MARKS[engine]
    return Figure(
        f"ingest, {engine}, against a no-op", ratios(stored, bare), mark, after, rates={"callbacks": stored, "no-op": bare}
    )


async def main() -> Sequence[Figure]:
    chosen = [e for e in ("sqlite", "postgres") if e in sys.argv] or ["sqlite", "postgres"]
    return [await measure(engine) for engine in chosen]


if __name__ == "__main__":
    run(main)
