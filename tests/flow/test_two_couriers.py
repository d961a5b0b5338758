"""Two processes on one PostgreSQL share the lanes: neither waits for long because the other has its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest
from sqlalchemy import text

from service.flow import claim
from service.loops.courier import Courier
from service.store.postgres import Postgres
from tests.conftest import empty
from tests.flow.couriers import queued
from tests.flow.receivers import receivers
from tests.flow.running import courier
from tests.until import until
from tests.world import Engine, World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[World]:
    """SQLite has one process."""
    await empty(postgres_url)
    async with World(Engine(postgres_url), seed=1) as world:
        world.parts.courier.open = False
        yield world


@asynccontextmanager
async def in_other_hands(world: World, lanes: int) -> AsyncIterator[None]:
    """Another process is in the middle of a claim of so many lanes."""
    async with cast(Postgres, world.db).engine.begin() as sql:
        await sql.execute(text(f"SELECT id FROM lane ORDER BY due_at LIMIT {lanes} FOR UPDATE SKIP LOCKED"))
        yield


async def test_a_courier_that_claims_leaves_lanes_for_the_others(world: World) -> None:
    for number in range(3 * claim.FEW):
        await world.subscribe(f"https://hook-{number}.test/")
    await queued(world, 20)
    mine = Courier(world.parts, asyncio.Event())
    async with in_other_hands(world, claim.FEW):
        await mine.round()
        held = mine.drain()
        assert len({due.subscription_id for due in held}) == claim.FEW
        assert len(held) == claim.CLAIM, "a few lanes that hold enough are enough"


async def test_where_each_lane_holds_little_the_next_claim_takes_many_lanes(world: World) -> None:
    for number in range(3 * claim.FEW):
        await world.subscribe(f"https://hook-{number}.test/")
    await queued(world)
    mine = Courier(world.parts, asyncio.Event())
    assert await mine.round(), "there are more lanes"
    assert not await mine.round()
    assert len({due.subscription_id for due in mine.drain()}) == 3 * claim.FEW


async def test_a_courier_that_finds_every_lane_in_other_hands_looks_again_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    turns = claim.turns

    async def seen(*args: Any) -> claim.Turns:
        found = await turns(*args)
        looks.append(len(found.parcels))
        return found

    monkeypatch.setattr(claim, "turns", seen)
    async with receivers() as others, AsyncExitStack() as hands:
        await world.subscribe(others.url("good"))
        await queued(world, 3)
        await hands.enter_async_context(in_other_hands(world, 1))
        async with asyncio.timeout(60), courier(world, look_s=3_600):
            await until(lambda: bool(looks))
            await hands.aclose()
            await others.until(lambda: len(others.got["good"]) == 3)
