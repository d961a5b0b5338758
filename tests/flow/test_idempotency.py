"""One key, one job: at once, again, after a crash, from two processes."""

import asyncio
import random

import httpx
import pytest

from service.domain.admission import Caps
from service.domain.lifecycle import State
from tests.world import Engine, World

pytestmark = pytest.mark.anyio

ORDER = {"model": "seedance-1-0-pro-250528", "prompt": "a cat"}


async def test_a_hundred_requests_at_once_with_one_key_place_one_job_and_answer_alike(world: World) -> None:
    stop = asyncio.Event()

    async def sender() -> None:
        while not stop.is_set():
            await world.send()
            await asyncio.sleep(0)

    sending = asyncio.create_task(sender())
    answers = await asyncio.gather(*(world.api("POST", "/v1/tasks", ORDER, Idempotency_Key="k-1") for _ in range(100)))
    stop.set()
    await sending
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1, "the same task, as it stands"
    assert answers[0].json()["state"] == "queued"
    assert sum("idempotent-replayed" in a.headers for a in answers) == 99
    assert (world.creates, len(world.jobs)) == (1, 1)


async def test_two_processes_with_one_key_place_one_job(engine: Engine) -> None:
    if engine.url.startswith("sqlite"):
        pytest.skip("an embedded database has one process")
    async with World(engine, seed=1) as one, World(engine, seed=2) as two:
        two.random = random.Random(99)
        both = await asyncio.gather(*(w.order(key="k-1") for w in (one, two) * 20))
        assert len({placed.task.id for placed in both}) == 1
        assert len(await one.send()) + len(await two.send()) == 1


async def test_a_cap_holds_for_two_processes_together(engine: Engine) -> None:
    if engine.url.startswith("sqlite"):
        pytest.skip("an embedded database has one process")
    async with World(engine, seed=1) as one, World(engine, seed=2) as two:
        for world in (one, two):
            world.parts.accounts.caps = {key: Caps(in_flight=7) for key in world.parts.accounts.caps}
        await asyncio.gather(*(w.order(f"{i}") for i in range(30) for w in (one, two)))
        for _ in range(5):
            await asyncio.gather(one.send(), two.send())
        assert one.creates + two.creates == 7


async def test_another_order_under_the_same_key_is_refused(world: World) -> None:
    assert (await world.api("POST", "/v1/tasks?dry_run=true", ORDER)).status_code == 200
    await world.order(key="k-1")
    answer = await world.api("POST", "/v1/tasks", {**ORDER, "prompt": "a dog"}, Idempotency_Key="k-1")
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[-1]) == (422, "idempotency-key-reused")


async def test_a_key_outlives_a_crash_at_any_point_of_its_placement(world: World) -> None:
    for crash_after_sending in (False, True):
        key = f"k-{crash_after_sending}"
        first = await world.order(key=key)
        if crash_after_sending:
            await world.send()
        await world.crash()
        again = await world.order(key=key)
        assert (again.replayed, again.task.id) == (True, first.task.id)
        await world.send()
    assert world.creates == 1, "what was leased to the dead process is overdue, not sent again"


async def test_an_equal_order_under_another_key_is_placed_and_marked(world: World) -> None:
    tasks = [(await world.order(key=key)).task for key in ("k-1", "k-2")]
    assert [t.flags for t in tasks] == [None, '["duplicate_suspected"]']
    world.silence(seconds=61)
    assert (await world.order(key="k-3")).task.flags is None


async def test_one_key_of_two_apps_is_two_keys(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "other"})
    mine, theirs = await world.order(key="k"), await world.order(key="k", app="other")
    assert mine.task.id != theirs.task.id


async def test_an_unknown_outcome_under_a_key_is_flagged_and_never_repeated(world: World) -> None:
    world.on_create = [httpx.ReadTimeout("?")]
    for _ in range(5):
        placed = await world.order(key="k-1")
        await world.send()
        world.silence(seconds=20)
    task = await world.task(placed.task.id)
    assert (task.state, task.reason, world.creates) == (State.CREATED, "unknown_outcome", 1)
