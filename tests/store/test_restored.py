"""A database that was put back to an older state, or moved to another server, goes on, and pays nothing twice."""

import pytest

from service.domain import ids
from service.domain.placement import HELD
from service.store import restored
from service.store.postgres import Postgres
from tests.world import World

pytestmark = pytest.mark.anyio

MANY = 10**12
"""Transactions that the old server had seen and the new one has not."""


async def test_orders_that_waited_are_held_and_the_rest_goes_on(world: World) -> None:
    running = await world.submit("it runs")
    world.parts.submitter.open = False
    waiting = (await world.order("it waited")).task
    assert waiting is not None
    world.parts.submitter.open = True
    assert await world.db.write(restored.hold_waiting) == 1
    await world.crash()
    await world.send()
    assert world.creates == 1, "nothing is placed by itself"
    assert (await world.task(waiting.id)).reason == HELD
    explained = (await world.api("GET", f"/v1/tasks/{ids.encode(ids.TASK, waiting.id)}/explain")).json()
    assert explained["code"] == "created.held"
    assert await world.callback("succeeded", world.job(running)) == 200
    assert (await world.task(running.id)).state == "succeeded"
    cancelled = await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, waiting.id)}/cancel")
    assert cancelled.json()["state"] == "cancelled"


async def test_a_held_order_that_nobody_looked_at_expires(world: World) -> None:
    world.parts.submitter.open = False
    waiting = (await world.order()).task
    assert waiting is not None
    await world.db.write(restored.hold_waiting)
    world.parts.submitter.open = True
    world.silence(hours=49)
    await world.send()
    assert (world.creates, (await world.task(waiting.id)).state) == (0, "expired")


async def test_a_reader_of_the_feed_goes_on_where_it_was_on_another_server(world: World) -> None:
    if not isinstance(world.db, Postgres):
        pytest.skip("SQLite numbers no transactions")
    await world.submit()
    await world.db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE event SET xact = xact + {MANY}"))
    for _ in range(2):  # every start looks, and only the first has to do anything
        await world.crash()
        at = (await world.api("GET", "/v1/events")).json()
        assert [each["type"] for each in at["data"]] == ["task.queued"], "what was there is there"
    await world.callback("running")
    after = (await world.api("GET", f"/v1/events?cursor={at['next']}")).json()
    assert [each["type"] for each in after["data"]] == ["task.running"]
    assert [row.n for row in await world.rows("SELECT count(*) AS n FROM era")] == [1]
    await world.callback("succeeded")
    whole = (await world.api("GET", "/v1/events")).json()
    assert [each["type"] for each in whole["data"]] == ["task.queued", "task.running", "task.succeeded"]
