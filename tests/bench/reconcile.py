"""Does a long history slow the claims? 1,000 stale tasks among a million ended ones, against among a thousand. And what does
the asking cost: requests for each task that has gone quiet.

    python -m tests.bench.reconcile [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

`--quick`: among a hundred thousand.
"""

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from service.domain.admission import Caps
from service.store import stale, waiting
from service.store.database import Database, Tx
from tests.bench.ground import clock_ms, database_url, opened
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.seed import history, seed
from tests.world import Engine, World

STALE = 1_000
FEW = 1_000
ENDED = 1_000_000
KEY = ("ark", "default")
QUIET = 300
ROUNDS = 15
"""Claims in one run; each puts back what it took."""


async def claim_ms(db: Database, at: int) -> float:
    """The fastest of some: what the claim itself costs, whatever else the machine does."""
    best = float("inf")
    for _ in range(ROUNDS):

        def act(tx: Tx) -> float:
            began = time.perf_counter()
            found = stale.oldest(tx, KEY, STALE)
            stale.lease(tx, [task.id for task, _ in found], tx.now + 60_000)
            elapsed = time.perf_counter() - began
            assert len(found) == STALE
            stale.lease(tx, [task.id for task, _ in found], at)
            return elapsed * 1000

        best = min(best, await db.write(act))
    return best


async def look_ms(db: Database, at: int) -> float:
    """What a round costs that finds nothing to place: who is stale, who waits, how much room there is."""
    best = float("inf")
    for _ in range(ROUNDS):

        def act(tx: Tx) -> float:
            began = time.perf_counter()
            stale.accounts(tx.sql)
            waiting.anybody_due(tx)
            waiting.lanes(tx.sql)
            waiting.ran_out(tx.sql, tx.now, 100)
            waiting.rooms(tx.sql, tx.now, {KEY: Caps(10_000, 600)})
            return (time.perf_counter() - began) * 1000

        best = min(best, await db.write(act))
    return best


async def requests_each(url: str) -> float:
    """Questions to a provider for each task that has gone quiet: Ark's list answers for many at once."""
    async with World(Engine(url)) as world:
        for number in range(QUIET):
            await world.submit(f"number {number}")
        asked = 0
        while not asked:
            world.silence(minutes=1)
            await world.reconcile()
            [row] = await world.rows("SELECT count(*) AS asked FROM task WHERE polls > 0")
            asked = row.asked
        return (len(world.listed) + len(world.asked)) / asked


async def main(wanted: Wanted) -> Sequence[Figure]:
    figures: list[Figure] = []
    measures: dict[str, Callable[[Database, int], Any]] = {
        "claim of 1,000 stale": claim_ms,
        "a round that finds no work": look_ms,
    }
    many = wanted.pick(ENDED, ENDED // 10)
    for engine in wanted.engines:
        async with AsyncExitStack() as stack:
            sides = []
            at = clock_ms() - 3_600_000
            for ended in (many, FEW):
                db = await stack.enter_async_context(opened(stack.enter_context(database_url(engine))))
                await history(db, ended, at - 7_200_000)
                await seed(db, STALE, at, poll_at=at)
                sides.append(db)
            gc.collect()
            for name, measure in measures.items():
                ratios, costs = [], []
                for _ in range(wanted.runs):
                    large, small = await measure(sides[0], at), await measure(sides[1], at)
                    ratios.append(large / small)
                    costs.append(large)
                say(f"{engine}: {name} among {many:,}: {sorted(costs)[len(costs) // 2]:.2f} ms")
                words = f"{name} among {many:,} against among {FEW:,} ended"
                figures.append(Figure(words, ratios, 2.0, 1.2, True, engine=engine, rates={"ms": costs}))
        with database_url(engine) as url:
            async with opened(url):
                pass
            each = await requests_each(url)
        figures.append(
            Figure(f"requests for each of {QUIET} quiet tasks", [each], lower_is_better=True, unit="", engine=engine)
        )
    return figures


if __name__ == "__main__":
    run(main, __doc__)
