"""What the outside world knows, held against the database: every broken promise becomes a breach.

The rows among themselves are the service's own audit (`service/domain/audit.py`); here is what rows cannot know: what was
acknowledged, what was told, what the provider was asked for, and what the logs say. Called when nothing moves any more.
"""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from sqlalchemy import create_engine, pool

from service.domain import ids
from service.domain.audit import View
from service.domain.lifecycle import State, Verdict, judge
from service.flow.record import RECEIPTS_KEPT
from service.signing import Seal
from service.store.audit import Read
from service.store.audit import audit as audit_rows
from service.store.postgres import Postgres
from tests.chaos.ground import Ground, prompt_of
from tests.process.harness import KEYS, PROVIDER_KEY


async def audit(ground: Ground, receipts: bool = True) -> None:
    await _rows(ground)
    await _orders(ground)
    await _notices(ground)
    await _placements(ground)
    if receipts:
        await _callbacks(ground)
    await _logs(ground)
    if ground.server is None:
        ground.history.expect(await ground.rows("PRAGMA integrity_check") == [("ok",)], "PRAGMA integrity_check")


async def _rows(ground: Ground) -> None:
    seal = Seal(KEYS["CALLSHEET_ENCRYPTION_KEYS"].split(","))

    def view() -> View:
        return View(
            now=ground.clock.now_ns() // 1_000_000,
            keep=ground.keep,
            steady=True,  # subscriptions were there before the first order, and nobody changed them
            opens=lambda sealed: bool(seal.open(sealed)),
            secrets=_secrets(ground),
        )

    async with _reader(ground) as read:
        audited = await audit_rows(read, view)
    ground.history.note("tasks audited", audited.tasks)
    ground.history.note("deliveries audited", audited.deliveries)
    for breach in audited.breaches:
        ground.history.breach(f"{breach.invariant}: {', '.join(breach.names)}: {breach.what}")


@asynccontextmanager
async def _reader(ground: Ground) -> AsyncIterator[Read]:
    """A second reader beside the running service."""
    if ground.server is not None:
        db = Postgres(ground.database_url, ids.Ids(lambda: 0, random.random), lambda: 0)
        try:
            yield db.read
        finally:
            await db.stop()
        return
    path = ground.database_url.removeprefix("sqlite:///")
    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True), poolclass=pool.NullPool
    )

    def look(act):  # type: ignore[no-untyped-def]  # whatever is looked for
        with engine.connect() as sql:
            return act(sql)

    yield lambda act: asyncio.to_thread(look, act)
    engine.dispose()


async def _orders(ground: Ground) -> None:
    """I1: what was acknowledged is there, once, and its key is remembered."""
    expect = ground.history.expect
    known = {ids.encode(ids.TASK, task) for (task,) in await ground.rows("SELECT id FROM task")}
    keys = {key: ids.encode(ids.TASK, task) for key, task in await ground.rows("SELECT key, task_id FROM idempotency")}
    for key, task in ground.history.orders.items():
        expect(task in known, f"I1: order {key} was acknowledged as {task} and is lost")
        expect(keys.get(key) == task, f"I1: the key of order {key} leads to {keys.get(key)} and not to {task}")
    names = Counter(ground.history.orders.values())
    expect(max(names.values(), default=1) == 1, "I1: two orders are one task")


async def _callbacks(ground: Ground) -> None:
    """I1: every acknowledged callback has its receipt with its very own body, and its task stands where it says or beyond."""
    stored = {}
    for body, state in await ground.rows(
        "SELECT r.body, t.state FROM receipt r JOIN task t ON t.id = r.task_id WHERE r.body IS NOT NULL"
    ):
        said = orjson.loads(bytes(body))
        stored[said.get("mark")] = (said.get("status"), state)
    lost = [f"{mark} ({job})" for mark, job in ground.history.callbacks.items() if mark not in stored]
    ground.history.expect(not lost, f"I1: {len(lost)} acknowledged callbacks are lost, e.g. {lost[:3]}")
    behind = [mark for mark, (said, is_now) in stored.items() if judge(State(is_now), State(said)) is Verdict.ADVANCE]
    ground.history.expect(not behind, f"I1: {len(behind)} acknowledged callbacks changed nothing, e.g. {behind[:3]}")


async def _notices(ground: Ground) -> None:
    """I3, I4, I5: what was told is what was committed, under one name and signed; what counts as delivered was heard."""
    expect, told = ground.history.expect, ground.history.told
    known = {}
    for delivery, state, body in await ground.rows(
        "SELECT d.id, d.state, e.body FROM delivery d JOIN event e ON e.id = d.event_id"
    ):
        name = ids.encode(ids.DELIVERY, delivery)
        known[name] = bytes(body)
        expect(state != "delivered" or name in told, f"I3: {name} counts as delivered, and nobody has heard it")
    for name, notice in told.items():
        expect(name in known, f"I4: {name} was told, and no such promise was committed")
        expect(known.get(name) == notice.body, f"I4: {name} was told in other words than it was committed in")
    settled = await ground.rows(
        "SELECT d.id FROM attempt a JOIN delivery d ON d.id = a.delivery_id WHERE a.outcome = 'told'"
        " GROUP BY d.id, d.spent HAVING count(*) > 1 + d.spent"  # attempts that ended after their lease decided nothing
    )
    expect(not settled, f"{len(settled)} deliveries were settled as told twice")
    [(receipts,)] = await ground.rows("SELECT coalesce(max(receipts), 0) FROM task")
    expect(receipts <= RECEIPTS_KEPT, f"a task keeps {receipts} receipts beside those that changed it")


async def _placements(ground: Ground) -> None:
    """I7: one key is at most one job at the provider, and each of its jobs is known."""
    jobs = Counter(job.prompt for job in ground.player.jobs.values())
    twice = [prompt for prompt, count in jobs.items() if count > 1]
    ground.history.expect(not twice, f"I7: {len(twice)} orders were placed more than once, e.g. {twice[:3]}")
    placed = {prompt_of(str(order)) for (order,) in await ground.rows('SELECT "order" FROM task')}
    stray = [job for job in ground.player.jobs.values() if job.prompt not in placed and not ground.gone(job.created_s)]
    ground.history.expect(not stray, f"I1: {len(stray)} jobs at the provider belong to no task")


async def _logs(ground: Ground) -> None:
    """I9: no token, key or secret in any line."""
    for process in ground.processes:
        said = await asyncio.to_thread(process.log.read_text)
        ground.history.expect("/callbacks/" not in said, f"I9: {process.log.name} shows a callback's address")
        shown = sum(secret in said for secret in _secrets(ground))
        ground.history.expect(shown == 0, f"I9: {process.log.name} shows {shown} secrets")


def _secrets(ground: Ground) -> list[str]:
    return [*KEYS.values(), PROVIDER_KEY, *ground.subscribers.secrets.values()]
