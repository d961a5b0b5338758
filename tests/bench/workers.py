"""One and two worker processes on PostgreSQL that drain the same backlog: how much faster two are, and that none is sent twice.

    python -m tests.bench.workers [--quick] [--out FILE] [--compare EARLIER.json]

Twice: with subscribers that answer at once, where processors are the limit, PostgreSQL's and the subscribers' share
included (two cores have little left for a second worker: the CPU of each is shown); and with subscribers that take their
time, where the number of attempts under way in one process is the limit.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import random

from sqlalchemy import TextClause, text

from service.app import clock_ms, make_parts
from service.domain.ids import Ids
from service.flow.announce import Happening, announce
from service.settings import load
from service.store.database import Database, Tx
from service.store.postgres import Postgres
from tests.bench import ground
from tests.bench.harness import RUNS, Figure, Wanted, ratios, run, say
from tests.bench.receiver import Receiver, receiving
from tests.bench.servers import child, cpu_s, family_cpu_s
from tests.bench.subscribed import subscribed
from tests.postgres import Server, server

SUBSCRIPTIONS = 50
CONCURRENCY = 20
"""Of each; together more than a process has attempts under way."""
SLOW_S = 0.25
TWO_TO_ONE = 1.6
WITHIN_S = 120.0
OPEN = text("SELECT count(*) FROM delivery WHERE state = 'pending'")
AWAKE = text("SELECT count(*) FROM lane WHERE due_at < :soon")
"""Lanes that a worker still looks into because of the drain before."""
BODY = (
    b'{"type":"task.queued","timestamp":"2026-11-20T22:33:00.123Z","data":{"sequence":1,"previous_state":"created","task":{}}}'
)


@dataclass(frozen=True, slots=True)
class Drain:
    rate: float
    workers: float
    """Cores they used."""
    database: float
    receiver: float

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f}/s (cores: {self.workers:.2f}, PostgreSQL {self.database:.2f}, subscribers {self.receiver:.2f})"
        )


async def backlog(url: str, env: dict[str, str], events: int) -> int:
    """So many events for every subscription, all there at one instant: the commit."""
    db = Postgres(url, Ids(clock_ms, random), clock_ms)
    await db.start()
    await quiet(db, AWAKE, {"soon": clock_ms() + 10_000})
    parts = make_parts(load(env), db)

    def happen(tx: Tx) -> None:
        announce(tx, parts, [Happening("default", "task.queued", "own", BODY)] * events)

    await db.write(happen)
    await db.stop()
    return events * SUBSCRIPTIONS


async def quiet(db: Database, count: TextClause, values: dict[str, int]) -> None:
    """Until nothing is counted any more."""
    async with asyncio.timeout(WITHIN_S):
        while await db.read(lambda sql: sql.execute(count, values).scalar_one()):  # noqa: ASYNC110 (other processes' doing)
            await asyncio.sleep(0.02)


async def drained(pg: Server, env: dict[str, str], receiver: Receiver, events: int, workers: int) -> Drain:
    receiver.forget()
    with ExitStack() as stack:
        working = [stack.enter_context(child(["-m", "service", "work"], env)) for _ in range(workers)]
        for process in working:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline), "a worker did not start"
        count = await backlog(pg.url, env, events)
        await receiver.until(1, WITHIN_S)
        mine, database = os.times(), family_cpu_s(pg.pid)
        theirs = [cpu_s(process.pid) for process in working]
        await receiver.until(count, WITHIN_S)
        elapsed_s = receiver.last_s - receiver.first_s
        used = [cpu_s(process.pid) - before for process, before in zip(working, theirs, strict=True)]
        now = os.times()
        async with ground.opened(
            pg.url
        ) as db:  # the last answers: the subscribers live in this process, which is about to wait
            await quiet(db, OPEN, {})
        return Drain(
            (count - 1) / elapsed_s,
            sum(used) / elapsed_s,
            (family_cpu_s(pg.pid) - database) / elapsed_s,
            (now.user + now.system - mine.user - mine.system) / elapsed_s,
        )


async def once_each(pg: Server, receiver: Receiver, count: int) -> None:
    """Every one arrived, none twice; and the database says the same."""
    twice = [name for name, times in receiver.names.items() if times > 1]
    assert len(receiver.names) == count, (len(receiver.names), count)
    assert not twice, f"{len(twice)} came more than once"
    async with ground.opened(pg.url) as db:
        query = text("SELECT count(*), count(*) FILTER (WHERE state = 'delivered' AND attempts = 1) FROM delivery")
        made, delivered = await db.read(lambda sql: sql.execute(query).one())
        assert made == delivered, (made, delivered)


async def measure(wanted: Wanted, runs: int, after_s: float, events: int, words: str) -> Figure:
    one: list[Drain] = []
    two: list[Drain] = []
    with server(durable=True) as pg:
        env = ground.KEYS | {"CALLSHEET_DATABASE_URL": pg.url}
        async with receiving(after_s) as receiver:
            async with ground.opened(pg.url) as db:
                await subscribed(db, f"http://127.0.0.1:{receiver.port}/{{n}}", SUBSCRIPTIONS, CONCURRENCY)
            for _ in range(wanted.pick(runs, 2)):
                for workers, drains in ((1, one), (2, two)):
                    drains.append(await drained(pg, env, receiver, events, workers))
                    await once_each(pg, receiver, events * SUBSCRIPTIONS)
                say(f"workers, {words}: {one[-1]} by one, {two[-1]} by two")
    rates = {
        "deliveries/s by one": [d.rate for d in one],
        "by two": [d.rate for d in two],
        "cores: one worker": [d.workers for d in one],
        "two workers": [d.workers for d in two],
        "PostgreSQL beside two": [d.database for d in two],
        "subscribers beside two": [d.receiver for d in two],
    }
    found = ratios([d.rate for d in two], [d.rate for d in one])
    return Figure(f"two workers against one, {words}", found, TWO_TO_ONE, engine="postgres", rates=rates)


async def main(wanted: Wanted) -> Sequence[Figure]:
    if "postgres" not in wanted.engines:
        return []
    return [
        await measure(wanted, RUNS, 0.0, wanted.pick(160, 80), "answers at once"),
        await measure(wanted, 3, SLOW_S, wanted.pick(100, 60), f"answers after {SLOW_S:g} s"),
    ]


if __name__ == "__main__":
    run(main, __doc__)
