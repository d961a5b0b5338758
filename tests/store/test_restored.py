"""A database that was put back to an older state, or moved to another server, goes on, and pays nothing twice."""

import asyncio
import json
import subprocess

import httpx
import pytest

from service.domain import ids
from service.domain.placement import HELD
from service.store import migrate, restored
from service.store.postgres import Postgres
from tests.cli.running import callsheet, environment
from tests.postgres import Server, server
from tests.process.harness import KEYS
from tests.world import Engine, World

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


async def test_no_order_is_given_a_job_that_may_be_one_placed_after_the_backup(world: World) -> None:
    """The list shows a job that nobody here knows: whoever ordered it is not in the backup."""
    world.on_create = [httpx.ReadTimeout("nothing was placed")]
    without = (await world.order()).task
    assert without is not None
    await world.send()
    await world.db.write(restored.hold_waiting)
    await world.submit("ordered after the backup")
    await world.db.write(lambda tx: tx.sql.exec_driver_sql("DELETE FROM submission WHERE remote_id = 'cgt-1'"))
    world.silence(minutes=1)
    await world.reconcile()
    assert world.listed
    assert (await world.task(without.id)).remote_id is None


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


def run(server: Server, tool: str, *arguments: str) -> None:
    done = subprocess.run(
        [server.bin / tool, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd="/", **server.run_as
    )
    assert done.returncode == 0, done.stderr


async def test_a_dump_that_is_loaded_on_another_server_goes_on_there() -> None:
    """By the commands of infra/OPERATING.md."""
    with server() as old, server() as new:
        await migrate.to_head_postgres(old.url)
        async with World(Engine(old.url)) as world:
            running = await world.submit("it runs")
            world.parts.submitter.open = False
            await world.order("it waited")
            await world.db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE event SET xact = xact + {MANY}"))
            await world.crash()
            at = (await world.api("GET", "/v1/events")).json()["next"]
            jobs = world.jobs
        dump = str(old.home / "dump")
        run(old, "pg_dump", "--format=custom", f"--file={dump}", old.url)
        run(old, "pg_restore", "--clean", "--if-exists", "--exit-on-error", f"--dbname={new.url}", dump)
        given = environment(new.url, **KEYS)
        held = await asyncio.to_thread(callsheet, given, "restore", "--json")
        assert (held.returncode, json.loads(held.stdout)) == (0, {"object": "restore", "held": 1}), held.stderr
        async with World(Engine(new.url)) as world:
            world.jobs = jobs
            await world.send()
            assert world.creates == 0
            assert await world.callback("running", world.job(running)) == 200
            news = (await world.api("GET", f"/v1/events?cursor={at}")).json()["data"]
            assert [each["type"] for each in news] == ["task.running"]
