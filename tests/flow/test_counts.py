"""What /v1/providers counts: what orders came to is exact whatever dies, and of the rest a second is lost at most."""

import asyncio
from typing import Any

import httpx
import pytest

from service.loops import Loops
from service.store.database import Tx
from tests.world import World

pytestmark = pytest.mark.anyio

BUSY = httpx.Response(429, json={"error": {"code": "ServerOverloaded", "message": "later"}})
REFUSED = httpx.Response(400, json={"error": {"code": "InvalidParameter", "message": "no"}})


async def health(world: World) -> dict[str, Any]:
    [row] = (await world.api("GET", "/v1/providers")).json()["data"]
    found: dict[str, Any] = row["health"]
    return found


async def tallies(world: World) -> dict[str, int]:
    return {row.what: row.count for row in await world.rows("SELECT what, count FROM tally")}


async def test_what_orders_came_to_survives_a_crash_at_any_moment(world: World) -> None:
    answers: list[Any] = ["accept", "accept", BUSY, REFUSED, httpx.ConnectError("refused"), "accept and time out"]
    for i, answer in enumerate(answers):
        world.on_create = [answer]
        await world.submit(f"{i}")
    assert await world.callback("running", world.jobs["cgt-3"]) == 200
    await world.crash()
    found = await health(world)
    came_to = {name: found[name] for name in ("accepted", "busy", "rejected", "not_sent", "unknown")}
    assert came_to == {"accepted": 2, "busy": 1, "rejected": 1, "not_sent": 1, "unknown": 1}
    assert found["unknown_healed"] == {"callback": 1, "list": 0, "operator": 0, "answer": 0}
    assert (found["in_flight"], found["unknown_open"]) == (3, 0)


async def test_what_was_not_stored_was_not_counted(world: World) -> None:
    await world.submit()
    before = await health(world)

    def fails(_: Tx) -> None:
        raise ValueError("a bug of the one beside it")

    # Of one batch, so that the good one shares the transaction that fails, and is counted once all the same.
    placed = world.submit("shares it")
    results = await asyncio.gather(placed, world.db.write(fails), return_exceptions=True)
    assert isinstance(results[1], ValueError)
    assert (await health(world))["accepted"] == before["accepted"] + 1


@pytest.mark.parametrize("working", [True, False], ids=["with loops", "http alone"])
async def test_the_rest_is_kept_every_second_and_at_the_end(world: World, working: bool) -> None:
    task = await world.submit()
    loops = Loops(world.parts, working=working)
    loops.start()
    await world.callback("running")
    async with asyncio.timeout(60):
        while (await tallies(world)).get("callbacks") != 1:
            await asyncio.wait([loop.task for loop in loops.loops if loop.task], timeout=0.05)
    await world.callback("succeeded", world.job(task))
    await loops.stop()
    assert (await tallies(world))["callbacks"] == 2
    assert (await tallies(world))["ended"] == 1
