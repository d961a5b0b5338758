"""Real sockets, a real courier: subscribers that hang, are dead or never finish delay nobody else."""

import asyncio
import socket
from typing import Any, cast

import pytest
from sqlalchemy import event

from service.flow.lanes import CONCURRENCY
from service.loops.courier import CLAIMS_S
from service.store.postgres import Postgres
from service.store.sqlite import SQLite
from tests.flow.couriers import queued
from tests.flow.receivers import Receivers, receivers
from tests.flow.running import courier
from tests.world import World

pytestmark = pytest.mark.anyio

EVENTS = 8


def dead_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


async def all_told(others: Receivers, names: list[str], count: int) -> None:
    async with asyncio.timeout(60):
        await others.until(lambda: all(len(others.got[name]) >= count for name in names))


@pytest.mark.parametrize("in_hand", [True, False], ids=["handed over", "claimed"])
async def test_ninety_seven_are_told_everything_while_three_are_stuck(world: World, in_hand: bool) -> None:
    good = [f"good-{number}" for number in range(97)]
    async with receivers() as others, courier(world):
        world.parts.courier.open = in_hand
        for target in ("hang", "drip", *good):
            await world.subscribe(others.url(target))
        await world.subscribe(f"http://127.0.0.1:{dead_port()}/dead")
        for _ in range(EVENTS):
            await queued(world)
        await all_told(others, good, EVENTS)
        assert all(len(set(others.got[name])) == EVENTS for name in good), "and nothing twice"
        assert 1 <= len(others.got["hang"]) <= CONCURRENCY, "it has its own cap"
        assert 1 <= len(others.got["drip"]) <= CONCURRENCY
        settled = await world.rows("SELECT DISTINCT s.target FROM delivery d JOIN subscription s ON s.id = d.subscription_id"
                                   " WHERE d.state = 'delivered'")  # fmt: skip
        assert not [row.target for row in settled if row.target.endswith(("hang", "drip", "dead"))]


async def test_what_is_handed_over_one_by_one_is_sent_at_once_and_costs_no_claim_each(world: World) -> None:
    looks: list[str] = []
    engine = world.db.engine if isinstance(world.db, SQLite) else cast(Postgres, world.db).engine.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def count(*given: Any) -> None:
        if "lane.due_at <=" in given[2] and "subscription.pace_id" in given[2]:
            looks.append(given[2])

    async with receivers() as others, courier(world):
        await world.subscribe(others.url("good"))
        clock = asyncio.get_running_loop().time
        began = clock()
        for number in range(1, 101):
            await queued(world)
            await all_told(others, ["good"], number)
        elapsed_s = clock() - began
    assert len(others.got["good"]) == len(set(others.got["good"])) == 100
    assert 1 <= len(looks) <= elapsed_s / CLAIMS_S + 3
