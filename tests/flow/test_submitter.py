"""The submitter's rounds: what is in hand goes at once, and who waits is not forgotten over it."""

import asyncio

import pytest

from service.domain.lifecycle import State
from service.loops.submitter import Submitter
from tests.store.conftest import transactions
from tests.world import World

pytestmark = pytest.mark.anyio


async def sent(submitter: Submitter) -> None:
    while under_way := submitter.under_way():
        await asyncio.gather(*under_way)


async def test_an_order_in_hand_is_sent_without_a_look_at_those_who_wait(world: World) -> None:
    submitter = Submitter(world.parts)
    await submitter.round()
    placed = await world.order()
    assert placed.placement is not None
    with transactions(world.db) as ends:
        await submitter.round()
        assert ends == [], "the next order would wait for it"
    await sent(submitter)
    assert (await world.task(placed.task.id)).state is State.QUEUED


async def test_who_waits_is_looked_for_however_many_are_in_hand(world: World) -> None:
    submitter = Submitter(world.parts)
    await submitter.round()
    for number in range(10):
        await world.order(f"in hand {number}")
    in_hand = world.parts.submitter.take(10)
    world.parts.submitter.open = False
    waiting = await world.order("waits")
    assert waiting.placement is None
    world.parts.submitter.open = True
    for placement in in_hand:
        world.parts.submitter.put([placement])
        await submitter.round()
        await sent(submitter)
        world.silence(seconds=0.1)
    assert (await world.task(waiting.task.id)).state is State.QUEUED
    assert world.creates == 11
