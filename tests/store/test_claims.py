"""Claims walk open work only, however much has been finished; and two processes never claim the same thing."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.util import await_only

from service.flow import claim, place, reconcile
from service.flow.announce import Happening, announce
from service.store import tasks
from service.store.database import Tx
from service.store.postgres import Postgres
from service.store.sqlite import SQLite
from service.store.tables import TABLES
from tests.conftest import empty
from tests.flow.couriers import due_next, pass_time, queued
from tests.world import Engine, World

pytestmark = pytest.mark.anyio

DOUBLINGS = 11
"""2,048 finished tasks for each one that was really made."""
STEP = 1_000_000
"""Between the names of a row and its copy: fewer than a millisecond's worth."""
NAMES = {
    "task": ("id", "submission_id"),
    "submission": ("id", "task_id"),
    "event": ("id", "task_id"),
    "delivery": ("id", "event_id"),
}
"""What is copied, with the columns that name rows of these tables."""


def multiply(tx: Tx) -> None:
    """Every finished row over and over, under older names."""
    for doubling in range(DOUBLINGS):
        for table, names in NAMES.items():
            columns = [f'"{c.name}"' for c in TABLES[table].columns]
            taken = [f"{c} - {STEP << doubling}" if c.strip('"') in names else c for c in columns]
            taken = [f"{c} || '-{doubling}'" if c == '"remote_id"' else c for c in taken]  # no two jobs share a name
            statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(taken)} FROM {table}"
            tx.sql.exec_driver_sql(statement)
    if tx.postgres:
        for table in NAMES:
            tx.sql.exec_driver_sql(f"ANALYZE {table}")


async def much_finished_little_open(world: World, count: int = 10) -> None:
    await world.subscribe()
    await world.submit("the one that is copied")
    await world.callback("succeeded")
    await world.deliver()
    await world.db.write(multiply)
    for i in range(count):
        await world.submit(f"stale {i}")
    world.silence(hours=1)
    world.parts.courier.open = world.parts.submitter.open = False
    for i in range(count):
        await world.order(f"waiting {i}")
    for job in list(world.jobs.values())[1 : 1 + count // 2]:
        await world.callback("running", job)


CLAIMS: dict[str, Callable[[World], Awaitable[Any]]] = {
    "what nobody told us about": lambda world: reconcile.reconcile(world.parts),
    "what waits to be placed": lambda world: place.place_waiting(world.parts, 100),
    "what has to be delivered": lambda world: claim.claim(world.parts, 100),
}
OPEN_ONLY = "|".join(
    str(i.name) for t in TABLES.values() for i in t.indexes if i.dialect_options["sqlite"]["where"] is not None
)
WALKS = re.compile(rf"(?:SCAN|Seq Scan on) (?:{'|'.join(NAMES)})\b(?! USING (?:COVERING )?INDEX (?:{OPEN_ONLY})\b)")
"""A whole table, or a whole index that holds more than open work."""


@pytest.mark.parametrize("what", CLAIMS)
async def test_a_claim_walks_no_table_of_finished_work(world: World, what: str) -> None:
    await much_finished_little_open(world)
    db = world.db
    assert isinstance(db, SQLite | Postgres)
    said: list[tuple[str, Any]] = []

    def listen(_c: Any, _cur: Any, statement: str, parameters: Any, _ctx: Any, many: bool) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH", "UPDATE")):
            said.append((statement, parameters[0] if many else parameters))

    targets = [db.engine, db._reader] if isinstance(db, SQLite) else [db.engine.sync_engine]
    for target in targets:
        event.listen(target, "before_cursor_execute", listen)
    world.parts.submitter.open = True
    made = await CLAIMS[what](world)
    for target in targets:
        event.remove(target, "before_cursor_execute", listen)
    assert made, "there was something to claim"
    explain = "EXPLAIN QUERY PLAN " if isinstance(db, SQLite) else "EXPLAIN "

    def plans(sql: Connection) -> list[str]:
        return ["\n".join(str(row[-1]) for row in sql.exec_driver_sql(explain + one, given)) for one, given in said]

    walked = [(one, plan) for (one, _), plan in zip(said, await db.read(plans), strict=True) if WALKS.search(plan)]
    assert walked == []


@pytest.fixture
def postgres_engine(postgres_url: str) -> Engine:
    asyncio.run(empty(postgres_url))
    return Engine(postgres_url)


async def test_two_processes_place_each_order_once(postgres_engine: Engine) -> None:
    async with World(postgres_engine, seed=1) as one, World(postgres_engine, seed=2) as other:
        one.parts.submitter.open = False
        for i in range(20):
            await one.order(f"number {i}")
        one.parts.submitter.open = True
        await asyncio.gather(*(world.send() for world in (one, other) for _ in range(4)))
        assert one.creates + other.creates == 20
        assert [r.n for r in await one.rows("SELECT count(*) AS n FROM submission")] == [20]


async def test_two_processes_deliver_each_notice_once(postgres_engine: Engine) -> None:
    async with World(postgres_engine, seed=1) as one, World(postgres_engine, seed=2) as other:
        one.parts.courier.open = other.parts.courier.open = False
        await one.subscribe()
        await one.subscribe("https://second.test/")
        for i in range(15):
            await one.submit(f"number {i}")
        await asyncio.gather(*(world.deliver() for world in (one, other) for _ in range(3)))
        for world in (one, other):
            await world.deliver()
        told = [said.id for world in (one, other) for said in world.said]
        assert len(told) == len(set(told)) == 30


async def test_two_processes_ask_about_each_stale_task_once(postgres_engine: Engine) -> None:
    async with World(postgres_engine, seed=1) as one, World(postgres_engine, seed=2) as other:
        for i in range(10):
            await one.submit(f"number {i}")
        other.jobs = one.jobs
        one.silence(hours=1)
        other.silence(hours=1)
        await asyncio.gather(*(world.reconcile() for world in (one, other) for _ in range(3)))
        asked = [r.polls for r in await one.rows("SELECT polls FROM task")]
        assert set(asked) <= {0, 1}
        assert sum(asked) > 0


async def test_what_was_long_in_being_committed_waits_no_longer_than_that_again(postgres_engine: Engine) -> None:
    """Its lane was about to be looked into when it was added, so that nobody touched the lane; and the look came first."""
    async with World(postgres_engine) as world:
        world.parts.courier.open = False
        await world.subscribe()
        await queued(world)
        await world.deliver()
        at = await due_next(world)
        assert at is not None
        world.now = at
        begun, commit = asyncio.Event(), asyncio.Event()

        def happen(tx: Tx) -> None:
            announce(tx, world.parts, [Happening("default", "task.queued", "own", b'{"data":{}}')])
            begun.set()
            await_only(commit.wait())

        late = asyncio.create_task(world.db.write(happen))
        await begun.wait()
        await pass_time(world, 0.4 / 3_600)
        commit.set()
        await late
        at = await due_next(world)
        assert at is not None
        assert at - world.now <= 500
        world.now = at
        await world.deliver()
        assert len(world.said) == 2


async def test_who_brings_a_task_and_who_brings_its_callback_lock_in_one_order(postgres_engine: Engine) -> None:
    """One that names the task locks it and saves its submission afterwards; a callback locks both in one look. Crosswise they
    would wait for each other until the server ends one of them, a second later."""
    async with World(postgres_engine) as world:
        task = await world.submit()
        assert task.submission_id is not None
        sub_id = task.submission_id
        locked, saved = asyncio.Event(), []

        def hold_and_save(tx: Tx) -> None:
            _, subs = tasks.lock(tx, [task.id], [sub_id])
            locked.set()
            await_only(somebody_waits())
            tx.sql.exec_driver_sql("SET LOCAL lock_timeout = '1ms'")
            tasks.save(tx, [], [subs[sub_id]])
            saved.append(sub_id)

        async def somebody_waits() -> None:
            waiting = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(30):
                while [r.n for r in await world.rows(waiting)] == [0]:  # noqa: ASYNC110 (a server tells nobody)
                    await asyncio.sleep(0.01)

        first = asyncio.create_task(world.db.write(hold_and_save))
        await locked.wait()
        assert await world.callback("running") == 200
        await first
        assert saved == [sub_id]
