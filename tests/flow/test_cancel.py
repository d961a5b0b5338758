"""Cancelling: free before anything is placed, the provider's while it is queued, and the truth in every race."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from service.domain import ids
from service.domain.lifecycle import State
from service.domain.task import Task
from service.flow.cancel import HELD_MS
from service.store import tasks
from service.web.guard import Guard
from service.web.site import site
from tests.flow.test_admission import desk
from tests.world import ADMIN, Engine, Job, World

pytestmark = pytest.mark.anyio


async def cancel(world: World, task: Task) -> httpx.Response:
    return await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, task.id)}/cancel")


def overtaken(world: World, status: str) -> Job:
    """The provider's first job moves on in the moment in which it is told to erase it."""
    job, original = world.jobs["cgt-1"], world._erase

    def moves_on(remote_id: str) -> httpx.Response:
        job.status = status
        return original(remote_id)

    world._erase = moves_on  # type: ignore[method-assign]
    return job


async def test_a_queued_task_is_looked_at_and_then_cancelled_there(world: World) -> None:
    await world.subscribe()
    task = await world.submit()
    answer = await cancel(world, task)
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert (world.asked, world.erased, world.jobs["cgt-1"].status) == (["cgt-1", "cgt-1"], ["cgt-1"], "cancelled")
    await world.deliver()
    assert world.heard() == ["task.queued", "task.cancelled"]
    again = await cancel(world, task)
    assert again.status_code == 200
    assert world.erased == ["cgt-1"], "and only once"


@pytest.mark.parametrize("status", ["running", "succeeded", "failed"])
async def test_a_task_that_has_moved_on_there_is_never_deleted(world: World, status: str) -> None:
    task = await world.submit()
    world.jobs["cgt-1"].status = status
    answer = await cancel(world, task)
    assert (answer.status_code, world.erased) == (409, [])
    assert (await world.task(task.id)).state == status, "and what was learned is kept"
    assert status in answer.json()["detail"]


async def test_a_task_that_starts_in_the_very_moment_runs_on(world: World) -> None:
    task = await world.submit()
    world.on_query = [httpx.Response(200), httpx.Response(200)]
    overtaken(world, "running")
    answer = await cancel(world, task)
    assert answer.status_code == 409
    assert "running" in answer.json()["detail"]
    await world.reconcile()
    assert (await world.task(task.id)).state is State.RUNNING


async def test_a_task_that_ended_in_the_very_moment_is_not_called_cancelled(world: World) -> None:
    task = await world.submit()
    job = overtaken(world, "succeeded")
    answer = await cancel(world, task)
    assert answer.status_code == 409
    assert (await world.task(task.id)).state is State.QUEUED
    assert await world.callback("succeeded", job) == 200
    assert (await world.task(task.id)).state is State.SUCCEEDED


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("?"),
        httpx.Response(500),
        httpx.Response(429, json={"error": {"code": "RateLimitExceeded", "message": "later"}}),
        httpx.Response(401, json={"error": {"code": "AuthenticationError", "message": "no"}}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"id": "cgt-1", "status": "evaporated"}),
    ],
    ids=["nothing", "broken", "busy", "refused", "unreadable", "unknown word"],
)
async def test_a_cancel_that_is_not_confirmed_ends_nothing(world: World, answer: httpx.Response | Exception) -> None:
    """It ended right before the DELETE, which erased its record, and nobody says so: its callback does."""
    await world.subscribe()
    task = await world.submit()
    job, wire = overtaken(world, "succeeded"), world._provider

    def says(request: httpx.Request) -> httpx.Response:
        if world.erased and request.method == "GET":
            if isinstance(answer, Exception):
                raise answer
            return answer
        return wire(request)

    world.hosts["ark.test"] = says
    assert (await cancel(world, task)).status_code == 503
    looked_at = await world.task(task.id)
    assert (looked_at.state, looked_at.poll_at) == (State.QUEUED, world.now), "and it is asked about at once"
    assert await world.callback("succeeded", job) == 200
    assert (await world.task(task.id)).state is State.SUCCEEDED
    await world.deliver()
    assert "task.cancelled" not in world.heard()


async def test_a_provider_that_does_not_answer_has_nothing_cancelled(world: World) -> None:
    task = await world.submit()
    world.on_query = [httpx.ReadTimeout("?")]
    answer = await cancel(world, task)
    assert (answer.status_code, world.erased) == (503, [])
    assert (await world.task(task.id)).state is State.QUEUED


async def test_of_many_who_cancel_at_once_each_is_told_that_it_is_cancelled_and_one_asks_for_it(world: World) -> None:
    await world.subscribe()
    task = await world.submit()
    answers = await asyncio.gather(*(cancel(world, task) for _ in range(8)))
    assert [(a.status_code, a.json()["state"]) for a in answers] == [(200, "cancelled")] * 8
    assert world.erased == ["cgt-1"], "a second request would erase the record of what the first one did"
    await world.deliver()
    assert world.heard() == ["task.queued", "task.cancelled"]


async def test_two_processes_ask_for_it_once(engine: Engine) -> None:
    if not engine.url.startswith("postgresql"):
        pytest.skip("SQLite has one process")
    async with World(engine, seed=1) as one, World(engine, seed=2) as other:
        task = await one.submit()
        other.jobs, other.erased = one.jobs, one.erased
        answers = await asyncio.gather(*(cancel(world, task) for world in (one, other, one, other)))
        assert [(a.status_code, a.json()["state"]) for a in answers] == [(200, "cancelled")] * 4
        assert one.erased == ["cgt-1"]


@pytest.mark.parametrize(("status", "code"), [("cancelled", 200), ("succeeded", 409)])
async def test_whoever_is_overtaken_by_its_news_is_told_the_truth(world: World, status: str, code: int) -> None:
    """It looked queued, and its callback came before the provider answered the cancel."""
    task = await world.submit()
    job = world.job(task)

    async def overtaken(request: httpx.Request) -> httpx.Response:
        if request.method != "DELETE":
            return await original(request)
        assert await world.callback(status, job) == 200
        raise httpx.ReadTimeout("?")

    original = world._wire
    world.parts = replace(world.parts, transport=httpx.MockTransport(overtaken))
    world.site = site(world.parts, Guard(world.parts, ADMIN), world._ready)
    world.http = httpx.AsyncClient(transport=httpx.ASGITransport(world.site), base_url="https://callsheet.test")
    answer = await cancel(world, task)
    assert (answer.status_code, (await world.task(task.id)).state) == (code, status)
    assert code == 200 or "succeeded" in answer.json()["detail"]


async def test_a_cancel_that_its_process_did_not_survive_hinders_nobody_for_long(world: World) -> None:
    task = await world.submit()
    await world.db.write(lambda tx: tasks.hold_cancel(tx, task.submission_id or 0, tx.now + HELD_MS))
    world.silence(seconds=HELD_MS / 1000)
    assert (await cancel(world, task)).json()["state"] == "cancelled"


async def test_an_order_whose_answer_got_lost_cannot_be_cancelled(world: World) -> None:
    world.on_create = [httpx.ReadTimeout("?")]
    task = await world.submit()
    answer = await cancel(world, task)
    assert (answer.status_code, (await world.task(task.id)).state) == (409, State.CREATED)


async def test_a_gateway_without_cancel_says_so(engine: Engine) -> None:
    desks = [desk("agentsflare", "http://af.test/byteplus/v3")]
    async with World(engine, desks=desks) as world:
        task = await world.submit()
        answer = await cancel(world, task)
        assert answer.status_code == 409
        assert "no cancel" in answer.json()["detail"]


async def test_an_ended_task_and_a_foreign_one_cannot_be_cancelled(world: World) -> None:
    task = await world.submit()
    await world.callback("succeeded")
    assert (await cancel(world, task)).status_code == 409
    assert (await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, 5)}/cancel")).status_code == 404
    assert world.erased == []
