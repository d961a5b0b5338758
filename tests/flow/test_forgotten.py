"""What was forgotten stays forgotten, and what is kept no more is not placed again."""

import asyncio

import httpx
import pytest

from service.domain.errors import KeyReused
from service.flow import deliver, settle, subscribe
from service.flow.forget import forget_task
from service.store import deliveries
from service.store.database import Tx
from service.store.tables import TABLES
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_nothing_that_is_said_about_a_forgotten_task_is_kept(world: World) -> None:
    task = await world.submit("a private thing")
    job = world.job(task)
    await world.callback("succeeded")
    await forget_task(world.parts, "default", task.id)
    late = {"content": {"video_url": "https://videos.test/private.mp4"}}
    assert await world.callback("succeeded", job, **late) == 200
    assert await world.callback("failed", job) == 200
    bodies = await world.rows("SELECT body FROM receipt WHERE body IS NOT NULL")
    assert not bodies
    after = await world.task(task.id)
    assert (after.reason, after.result) == ("forgotten", None)


async def test_what_is_in_hand_when_its_task_is_forgotten_is_not_sent_as_it_was(world: World) -> None:
    await world.subscribe(events=["task.succeeded"])
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    assert len(world.parts.courier) == 1
    await forget_task(world.parts, "default", task.id)
    assert await world.deliver() == 0
    world.silence(minutes=2)
    assert await world.deliver() == 1
    [said] = world.said
    assert said.data["task"]["forgotten"] is True
    assert b"private" not in said.body


async def test_an_answer_to_what_was_on_the_wire_when_its_task_was_forgotten_is_not_kept(world: World) -> None:
    await world.subscribe(events=["task.succeeded"])
    world.on_notice["hook.test"] = [httpx.Response(200, text="I saw: a private thing")]
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    [due] = world.parts.courier.take(1)
    tried = await deliver.try_once(world.parts, world.addressees, (due,))
    await forget_task(world.parts, "default", task.id)
    assert tried.settlement is not None
    await settle.settle(world.parts, [tried.settlement])
    assert not await world.rows("SELECT answer FROM attempt WHERE answer IS NOT NULL")


async def test_a_look_at_what_is_in_hand_from_before_a_forget_does_not_undo_it(world: World) -> None:
    """Another process has changed something, and this one reads what it holds just as its task is forgotten here."""
    await world.subscribe(events=["task.succeeded"])
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    [due] = world.parts.courier.take(1)
    await forget_task(world.parts, "default", task.id)
    world.parts.withdrawn.add([(due.id, due.fence)], world.now, world.now + 60_000)  # as it was read before
    tried = await deliver.try_once(world.parts, world.addressees, (due,))
    assert (tried.settlement, world.said) == (None, [])


@pytest.mark.parametrize("meanwhile", ["delivered", "skipped"])
async def test_a_late_answer_about_a_forgotten_task_is_not_kept_whatever_its_delivery_came_to(
    world: World, meanwhile: str
) -> None:
    await world.subscribe(events=["task.succeeded"])
    world.on_notice["hook.test"] = [httpx.Response(500, text="I saw: a private thing")]
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    [due] = world.parts.courier.take(1)
    tried = await deliver.try_once(world.parts, world.addressees, (due,))
    assert tried.settlement is not None
    if meanwhile == "delivered":
        await subscribe.resend(world.parts, "default", due.id)
        await world.deliver()
    else:

        def disable(tx: Tx) -> None:
            deliveries.disable(tx, due.subscription_id, "somebody else saw a 410")
            deliveries.skip_open(tx, due.subscription_id, 10)

        await world.db.write(disable)
    assert [row.state for row in await world.deliveries()] == [meanwhile]
    await forget_task(world.parts, "default", task.id)
    await settle.settle(world.parts, [tried.settlement])
    assert not await world.rows("SELECT answer FROM attempt WHERE answer IS NOT NULL")


async def test_an_answer_that_is_settled_while_its_task_is_forgotten_is_not_kept(world: World) -> None:
    """Whichever of the two is first; on PostgreSQL they run beside each other."""
    await world.subscribe(events=["task.succeeded"])
    for number in range(8):
        world.on_notice["hook.test"] = [httpx.Response(200, text="I saw: a private thing")]
        task = await world.submit(f"private thing {number}")
        await world.callback("succeeded")
        [due] = world.parts.courier.take(1)
        tried = await deliver.try_once(world.parts, world.addressees, (due,))
        assert tried.settlement is not None
        await asyncio.gather(settle.settle(world.parts, [tried.settlement]), forget_task(world.parts, "default", task.id))
    assert not await world.rows("SELECT answer FROM attempt WHERE answer IS NOT NULL")


async def test_a_key_whose_task_is_kept_no_more_places_nothing(world: World) -> None:
    placed = await world.order(key="old")
    await world.send()
    task = TABLES["task"]
    await world.db.write(lambda tx: tx.sql.execute(task.delete().where(task.c.id == placed.task.id)))
    with pytest.raises(KeyReused):
        await world.order(key="old")
    assert world.creates == 1
