"""Real sockets, a real courier: subscribers that hang, are dead or never finish delay nobody else."""

import asyncio
import socket
from typing import Any, cast

import pytest
from sqlalchemy import event

from service.domain.leisure import MOST_GAP_S
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


async def test_a_backlog_leaves_room_for_callers_who_come_to_a_full_loop(world: World) -> None:
    few, many, now_s = 30, 300, asyncio.get_running_loop().time
    async with receivers() as others, courier(world):
        world.parts.courier.open = False
        await world.subscribe(others.url("behind"))
        heard = world.parts.lateness.heard
        assert heard is not None
        await queued(world, many)
        for _ in range(50):  # what was promised last is long ago
            heard(1.0, 10, 0.05)
        began_s, came = now_s(), len(others.got["behind"])
        await all_told(others, ["behind"], came + few)
        assert now_s() - began_s > few * MOST_GAP_S / 2
        for _ in range(20):
            heard(1.0, 0, 0.05)
        await all_told(others, ["behind"], many)


async def test_a_courier_that_leaves_room_stops_at_once(world: World) -> None:
    """More workers wait for their gap than its lane may send at once."""
    async with receivers() as others, courier(world) as made:
        world.parts.courier.open = False
        await world.subscribe(others.url("behind"))
        made._felt(1.0, 10, 0.05)
        async with made._gap, asyncio.timeout(60):
            await queued(world, 300)
            while len(made._gap._waiters or ()) < 50:  # noqa: ASYNC110
                await asyncio.sleep(0)
            made._stopping.set()
        _, late = await asyncio.wait(made.under_way(), timeout=5)
        assert not late, "whoever waited for a gap waits for nothing else"


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
