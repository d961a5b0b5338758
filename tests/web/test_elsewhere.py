"""What one process records is seen by whoever is connected to another one, and not only when that one looks by itself."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest

from service.domain import ids
from service.flow import deliver
from service.flow.forget import forget_task
from service.loops.courier import Courier
from service.store import journal
from service.store.postgres import Postgres
from service.web import hub, tasks
from tests.conftest import empty
from tests.until import until
from tests.web.listening import serving
from tests.world import Engine, World

pytestmark = pytest.mark.anyio

WITHIN_S = 60.0
NEVER_S = 3_600.0


@pytest.fixture
async def two(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, World]]:
    """Two processes that never look by themselves."""
    monkeypatch.setattr(hub, "POLL_S", NEVER_S)
    monkeypatch.setattr(tasks, "SLICE_S", NEVER_S)
    await empty(postgres_url)
    engine = Engine(postgres_url)
    async with World(engine, seed=1) as one, World(engine, seed=2) as other, asyncio.timeout(WITHIN_S):
        for world in (one, other):
            assert isinstance(world.db, Postgres)
            hints = world.db.carry(world.parts.bells, world.parts.watch)
            assert hints is not None
            await hints.listening.wait()
        other.jobs = one.jobs
        yield one, other


async def test_a_reader_of_the_live_feed_hears_what_another_process_recorded(two: tuple[World, World]) -> None:
    one, other = two
    await one.submit()
    async with serving(one) as server:
        ear = await server.ear()
        await until(lambda: one.site.hub.reader_count == 1)
        for status in ("running", "succeeded"):
            assert await other.callback(status) == 200
            assert (await ear.event()).type == f"task.{status}"


async def test_a_caller_who_waits_is_answered_when_another_process_has_the_news(two: tuple[World, World]) -> None:
    one, other = two
    task = await one.submit()
    asked = asyncio.create_task(one.api("GET", f"/v1/tasks/{ids.encode(ids.TASK, task.id)}", Prefer="wait=60"))
    await until(lambda: task.id in one.parts.watch._waiting)
    assert await other.callback("running") == 200
    assert (await asked).json()["state"] == "running"


async def test_an_order_taken_by_a_process_without_loops_wakes_one_that_has_them(two: tuple[World, World]) -> None:
    web, worker = two
    web.parts.submitter.open = web.parts.courier.open = False
    worker.parts.submitter.bell.clear()
    await web.order()
    await worker.parts.submitter.bell.wait()
    await worker.send()
    assert worker.creates == 1
    worker.parts.courier.bell.clear()
    await web.subscribe()
    assert await web.callback("running", list(worker.jobs.values())[-1]) == 200
    await worker.parts.courier.bell.wait()
    assert await worker.deliver() == 1


async def test_what_an_older_transaction_hides_is_heard_soon_after_its_end(
    two: tuple[World, World], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SOON_S", 1.0)
    world, _ = two
    reads: list[int] = []
    feed = journal.feed
    monkeypatch.setattr(journal, "feed", lambda *given: reads.append(1) or feed(*given))
    await world.submit()
    async with serving(world) as server:
        ear = await server.ear()
        older = await asyncpg.connect(postgres_url)
        transaction = older.transaction()
        await transaction.start()
        await older.fetchval("SELECT pg_current_xact_id()")
        seen = len(reads)
        assert await world.callback("running") == 200
        await until(lambda: len(reads) > seen)  # nothing of it can be seen yet, and nobody will ring again
        await transaction.commit()
        assert (await ear.event()).type == "task.running"
        await older.close()


async def in_hand_elsewhere(one: World, other: World) -> Courier:
    """The courier of a process that holds one notice in memory, of a subscription that it has told of something before."""
    one.parts.courier.open = other.parts.courier.open = False
    await one.submit("a private thing")
    await other.deliver()
    assert await one.callback("succeeded") == 200
    courier = Courier(other.parts, asyncio.Event())
    await courier.round()
    other.parts.recall.clear()
    return courier


@pytest.mark.parametrize("what", ["forget", "pause", "remove", "change", "disable"])
async def test_what_another_process_has_in_hand_is_not_sent_after_it_was_withdrawn(two: tuple[World, World], what: str) -> None:
    """Well before its lease ends, and before a subscription would be read again."""
    one, other = two
    sub = await one.subscribe()
    courier = await in_hand_elsewhere(one, other)
    path = f"/v1/subscriptions/{sub.name}"
    match what:
        case "forget":
            [row] = await one.rows("SELECT id FROM task")
            await forget_task(one.parts, "default", row.id)
        case "pause":
            await one.api("POST", f"{path}/pause")
        case "remove":
            await one.api("DELETE", path)
        case "change":
            await one.api("PATCH", path, {"target": "https://moved.test/"})
        case _:
            one.on_notice["hook.test"] = [httpx.Response(410)]
            one.parts.courier.open = True
            assert (await one.api("POST", f"{path}/test")).status_code == 202
            await one.deliver()
    await other.parts.recall.wait()
    await other.parts.courier.bell.wait()
    await courier.round()
    before = len(other.said)
    parcel = courier._next()
    assert parcel is not None
    tried = await deliver.try_once(other.parts, other.addressees, parcel)
    assert tried.settlement is None
    assert len(other.said) == before
    await courier.give_back(list(parcel))
    other.silence(minutes=2)  # the lease of what was forgotten ends by itself
    await other.deliver()
    after = [(said.host, b"private" in said.body) for said in other.said[before:]]
    assert after == {"forget": [("hook.test", False)], "change": [("moved.test", True)]}.get(what, [])
