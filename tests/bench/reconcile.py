"""Does a long history slow the claims, the lists, the timelines, the feed? 1,000 stale tasks among a million ended ones,
against among a thousand; on PostgreSQL before anybody analysed its tables, as after a restore. And what does the asking cost:
requests for each task that has gone quiet.

    python -m tests.bench.reconcile [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

`--quick`: among a hundred thousand.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy import Connection

from service.domain.admission import Caps
from service.store import journal, outbox, stale, tasks, waiting
from service.store.database import Database, Tx
from tests.bench.ground import clock_ms, database_url, opened
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.seed import Seeded, history, seed
from tests.world import Engine, World

STALE = 1_000
FEW = 1_000
ENDED = 1_000_000
KEY = ("ark", "default")
QUIET = 300
ROUNDS = 10
"""Of one run, of which the fastest counts: whatever else the machine does. Each claim puts back what it took."""
APP = "default"
PAGE = 50


@dataclass(frozen=True, slots=True)
class Side:
    engine: str
    db: Database
    at: int
    """When the stale ones were to be heard of."""
    one: Seeded
    """From the middle of the history."""

    @property
    def xact(self) -> int:
        """Of all events."""
        return 1 if self.engine == "postgres" else 0


Measure = Callable[[Side], Awaitable[float]]
"""In milliseconds."""


async def fill(db: Database, engine: str, ended: int, at: int) -> Side:
    one = await history(db, ended, at - 7_200_000)
    await seed(db, STALE, at, poll_at=at)
    return Side(engine, db, at, one)


async def claim_ms(side: Side) -> float:
    """What the claim itself costs."""

    def act(tx: Tx) -> float:
        began = time.perf_counter()
        found = stale.oldest(tx, KEY, STALE)
        stale.lease(tx, [task.id for task, _ in found], tx.now + 60_000)
        elapsed = time.perf_counter() - began
        assert len(found) == STALE
        stale.lease(tx, [task.id for task, _ in found], side.at)
        return elapsed * 1000

    return min([await side.db.write(act) for _ in range(ROUNDS)])


async def look_ms(side: Side) -> float:
    """What a round costs that finds nothing to place: who is stale, who waits, how much room there is."""

    def act(tx: Tx) -> float:
        began = time.perf_counter()
        stale.accounts(tx.sql)
        waiting.anybody_due(tx)
        waiting.lanes(tx.sql)
        waiting.ran_out(tx.sql, tx.now, 100)
        waiting.rooms(tx.sql, tx.now, {KEY: Caps(10_000, 600)})
        return (time.perf_counter() - began) * 1000

    return min([await side.db.write(act) for _ in range(ROUNDS)])


def read_ms(read: Callable[[Connection, Side], int]) -> Measure:
    """What is read has so many rows on either side."""

    async def measure(side: Side) -> float:
        def act(sql: Connection) -> float:
            began = time.perf_counter()
            found = read(sql, side)
            elapsed = time.perf_counter() - began
            assert found in (PAGE, 3), found
            return elapsed * 1000

        return min([await side.db.read(act) for _ in range(ROUNDS)])

    return measure


def listed(sql: Connection, side: Side) -> int:
    return len(tasks.page(sql, APP, before_id=side.one.task_id, limit=PAGE))


def timeline(sql: Connection, side: Side) -> int:
    """A submission, an event and a delivery."""
    task_id = side.one.task_id
    told = outbox.of_task(sql, APP, task_id)
    tried, received = outbox.attempts(sql, [row.id for row in told]), journal.receipts(sql, APP, task_id)
    placed, happened = tasks.submissions(sql, APP, task_id), journal.events_of(sql, APP, task_id)
    return len(told) + len(tried) + len(received) + len(placed) + len(happened)


def fed(sql: Connection, side: Side) -> int:
    return len(journal.feed(sql, APP, (side.xact, side.one.task_id), PAGE))


# Claims come after the look: what the repeated ones leave behind lies as thinly as the history is long.
MEASURES: dict[str, Measure] = {
    "a round that finds no work": look_ms,
    "claim of 1,000 stale": claim_ms,
    f"a list of {PAGE} tasks": read_ms(listed),
    "a timeline": read_ms(timeline),
    f"a feed page of {PAGE} events": read_ms(fed),
}


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
    many = wanted.pick(ENDED, ENDED // 10)
    at = clock_ms() - 3_600_000
    async with AsyncExitStack() as stack:
        sides = {
            (engine, ended): await stack.enter_async_context(opened(stack.enter_context(database_url(engine, durable=False))))
            for engine in wanted.engines
            for ended in (many, FEW)
        }
        # All at once: filling them takes longest.
        filled = await asyncio.gather(*(fill(db, engine, ended, at) for (engine, ended), db in sides.items()))
        gc.collect()
        for engine in wanted.engines:
            one, other = [side for side in filled if side.engine == engine]
            for name, measure in MEASURES.items():
                ratios, costs = [], []
                for _ in range(wanted.runs):
                    large, small = await measure(one), await measure(other)
                    ratios.append(large / small)
                    costs.append(large)
                say(f"{engine}: {name} among {many:,}: {sorted(costs)[len(costs) // 2]:.2f} ms")
                words = f"{name} among {many:,} against among {FEW:,} ended"
                figures.append(Figure(words, ratios, 2.0, 1.2, True, engine=engine, rates={"ms": costs}))
    for engine in wanted.engines:
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
