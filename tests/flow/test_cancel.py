"""Cancelling: free before anything is placed, the provider's while it is queued, and the truth in every race."""

import httpx
import pytest

from service.domain import ids
from service.domain.lifecycle import State
from service.domain.task import Task
from tests.flow.test_admission import desk
from tests.world import Engine, World

pytestmark = pytest.mark.anyio


async def cancel(world: World, task: Task) -> httpx.Response:
    return await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, task.id)}/cancel")


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
    job = world.jobs["cgt-1"]
    original = world._erase

    def starts_first(remote_id: str) -> httpx.Response:
        job.status = "running"
        return original(remote_id)

    world._erase = starts_first  # type: ignore[method-assign]
    answer = await cancel(world, task)
    assert answer.status_code == 409
    assert "running" in answer.json()["detail"]
    await world.reconcile()
    assert (await world.task(task.id)).state is State.RUNNING


async def test_a_task_that_ended_in_the_very_moment_is_not_called_cancelled(world: World) -> None:
    task = await world.submit()
    job = world.jobs["cgt-1"]
    original = world._erase

    def ends_first(remote_id: str) -> httpx.Response:
        job.status = "succeeded"
        return original(remote_id)

    world._erase = ends_first  # type: ignore[method-assign]
    answer = await cancel(world, task)
    assert answer.status_code == 409
    assert (await world.task(task.id)).state is State.QUEUED
    assert await world.callback("succeeded", job) == 200
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_a_provider_that_does_not_answer_has_nothing_cancelled(world: World) -> None:
    task = await world.submit()
    world.on_query = [httpx.ReadTimeout("?")]
    answer = await cancel(world, task)
    assert (answer.status_code, world.erased) == (503, [])
    assert (await world.task(task.id)).state is State.QUEUED


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
