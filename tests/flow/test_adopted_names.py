"""Guesses from a provider's list, and what retention takes away: a job is nobody's only while everybody who may have it is known."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from service.accounts import Desk
from service.domain.admission import Caps
from service.domain.keep import Keep
from service.domain.lifecycle import State
from service.domain.placement import UNRESOLVED
from service.domain.task import Task
from service.flow import retain
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from tests.world import ARK, Engine, World

pytestmark = pytest.mark.anyio

MUTE = "accept and time out"
BUSY = httpx.Response(429, json={"error": {"code": "RateLimitExceeded", "message": "slow down"}})


def desk(**options: str) -> Desk:
    return Desk(Account("ark", "default", ARK, "key", None, options), GATEWAYS["ark"], caps=Caps())


@pytest.fixture
async def forgetful(engine: Engine) -> AsyncIterator[World]:
    """Tasks are kept for a day, as short as can be set."""
    async with World(engine, desks=[desk()]) as world:
        world.parts = replace(world.parts, keep=Keep(tasks=1))
        yield world


async def lost(world: World, answer: str | Exception = MUTE) -> Task:
    world.on_create = [answer]
    placed = await world.order("lost")
    await world.send()
    assert placed.task is not None
    return placed.task


async def deaf(world: World, hours: float) -> None:
    """So long its provider lets nobody look."""
    world.on_query = [BUSY] * 10_000
    for _ in range(int(hours)):
        world.silence(hours=1)
        await world.reconcile()
    world.on_query.clear()
    world.silence(minutes=30)


async def test_no_order_is_given_the_job_of_one_that_is_not_kept_any_more(forgetful: World) -> None:
    """Found by the simulation, seed 20262912: its owner had ended and was gone, so that the job looked like nobody's."""
    await forgetful.submit("ended")
    without = await lost(forgetful, httpx.ReadTimeout("nothing was placed"))
    assert await forgetful.callback("succeeded", forgetful.jobs["cgt-1"]) == 200
    await deaf(forgetful, hours=50)
    await retain.sweep(forgetful.parts)
    assert await forgetful.rows("SELECT id FROM submission WHERE remote_id = 'cgt-1'") == []
    for _ in range(10):
        await forgetful.reconcile()
        forgetful.silence(minutes=30)
    assert forgetful.listed
    now = await forgetful.task(without.id)
    assert (now.state, now.remote_id, now.reason) == (State.CREATED, None, UNRESOLVED)
    [*_, said] = await forgetful.rows("SELECT body FROM event WHERE type = 'submission.unknown' ORDER BY id")
    assert b"cgt-1" in bytes(said.body), "whoever has to say is told what it may be"


async def test_an_order_is_found_in_the_list_as_long_as_its_neighbours_are_surely_kept(engine: Engine) -> None:
    async with World(engine, desks=[desk()]) as world:
        task = await lost(world)
        await deaf(world, hours=10)
        await world.reconcile()
        assert (await world.task(task.id)).remote_id == "cgt-1"


async def test_an_order_with_our_mark_is_found_however_long_its_neighbours_are_kept(engine: Engine) -> None:
    async with World(engine, desks=[desk(mark_orders="safety_identifier")]) as world:
        world.parts = replace(world.parts, keep=Keep(tasks=1))
        task = await lost(world)
        await deaf(world, hours=50)
        await retain.sweep(world.parts)
        await world.reconcile()
        assert (await world.task(task.id)).remote_id == "cgt-1"
