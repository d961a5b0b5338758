"""Names that only callbacks gave: whoever has the address can write one, so that the job which its provider knows is the truth,
and no order is called lost before all that it was called by were asked about."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from service.accounts import Desk
from service.domain import ids
from service.domain.admission import Caps
from service.domain.keep import Keep
from service.domain.lifecycle import State
from service.domain.naming import OTHERS
from service.domain.task import Task
from service.flow import retain
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from tests.world import ARK, Engine, Job, World

pytestmark = pytest.mark.anyio

MUTE = "accept and time out"
UNKNOWN = httpx.Response(404, json={"error": {"code": "ResourceNotFound", "message": "unknown"}})


@pytest.fixture
async def confirming(engine: Engine) -> AsyncIterator[World]:
    """Endings that only callbacks claim are asked about."""
    desk = Desk(Account("ark", "default", ARK, "key"), GATEWAYS["ark"], caps=Caps(), confirms=True)
    async with World(engine, desks=[desk]) as world:
        yield world


async def lost(world: World, prompt: str = "a cat") -> tuple[Task, Job]:
    """An order whose answer got lost, and its job."""
    world.on_create = [MUTE]
    placed = await world.order(prompt)
    await world.send()
    assert placed.task is not None
    return placed.task, list(world.jobs.values())[-1]


async def forged(world: World, job: Job, name: str, status: str = "running") -> None:
    """Somebody has the address of this job's callbacks, and calls it otherwise."""
    was = job.status
    assert await world.callback(status, job, id=name) == 200
    job.status = was


async def conflicts(world: World) -> list[str]:
    rows = await world.rows("SELECT body FROM event WHERE type = 'callback.conflict' ORDER BY id")
    return [orjson.loads(bytes(row.body))["data"]["message"] for row in rows]


async def wait(world: World, hours: float) -> None:
    for _ in range(int(hours * 12)):
        world.silence(minutes=5)
        await world.reconcile()


async def ask(world: World, turns: int = 2) -> None:
    """As often as the account's limits allow at once."""
    for _ in range(turns):
        await world.reconcile()
        world.silence(seconds=1)


async def explained(world: World, task: Task) -> dict[str, Any]:
    name = ids.encode(ids.TASK, task.id)
    found: dict[str, Any] = (await world.api("GET", f"/v1/tasks/{name}/explain")).json()
    return found


async def test_the_job_that_its_provider_knows_is_followed_although_another_was_named_first(world: World) -> None:
    """Found by the simulation, seeds 20261212, 20261976, 20263871 and 20263960: it was called lost, with its ending in our hands."""
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    assert await world.callback("succeeded", job) == 200
    now = await world.task(task.id)
    assert (now.state, now.remote_id) == (State.RUNNING, "cgt-forged"), "nobody knows yet which of them is true"
    [said] = await conflicts(world)
    assert ("cgt-forged" in said, "cgt-1" in said, "is asked" in said) == (True, True, True)
    told = await explained(world, task)
    assert (told["code"], "cgt-forged" in told["why"], "cgt-1" in told["why"]) == ("running.contested", True, True)
    await ask(world)
    assert world.asked == ["cgt-forged", "cgt-1"], "one after the other, at once"
    now = await world.task(task.id)
    assert (now.state, now.remote_id, now.result is not None) == (State.SUCCEEDED, "cgt-1", True)
    assert [row.remote_id for row in await world.rows("SELECT remote_id FROM submission")] == ["cgt-1"]


async def test_a_job_that_its_provider_knows_is_the_truth_and_others_are_not_asked_about_any_more(world: World) -> None:
    task, job = await lost(world)
    assert await world.callback("running", job) == 200
    await forged(world, job, "cgt-forged", "succeeded")
    await world.reconcile()
    assert world.asked == ["cgt-1"]
    for name in ("cgt-forged", "cgt-other"):
        await forged(world, job, name, "succeeded")
    await world.reconcile()
    assert world.asked == ["cgt-1"]
    now = await world.task(task.id)
    assert (now.state, now.remote_id) == (State.RUNNING, "cgt-1")
    assert await world.callback("succeeded", job) == 200
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_an_ending_that_a_callback_told_counts_when_its_provider_knows_none_of_its_names(world: World) -> None:
    """Found by the simulation: a gateway that had mislaid everything for a while, and the clock set in the same hour."""
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    world.on_query = [UNKNOWN] * 2
    assert await world.callback("failed", job) == 200
    await ask(world)
    assert world.asked == ["cgt-forged", "cgt-1"], "it was asked first"
    now = await world.task(task.id)
    assert (now.state, now.remote_id, now.poll_at) == (State.FAILED, "cgt-1", None)
    assert [row.source for row in await world.rows("SELECT source FROM event WHERE type = 'task.failed'")] == ["own"]


async def test_what_was_told_of_an_open_task_is_kept_for_as_long_as_it_may_have_to_be_believed(engine: Engine) -> None:
    """Found by the simulation with receipts kept for a day: a task was lost although its ending had been acknowledged."""
    async with World(engine) as world:
        world.parts = replace(world.parts, keep=Keep(receipts=1))
        task, job = await lost(world)
        await forged(world, job, "cgt-forged")
        assert await world.callback("failed", job) == 200
        world.silence(hours=50)
        assert not await retain.sweep(world.parts)
        world.on_query = [UNKNOWN] * 40
        await wait(world, hours=1)
        assert (await world.task(task.id)).state is State.FAILED
        world.silence(hours=50)
        assert not await retain.sweep(world.parts)
        assert await world.rows("SELECT id FROM receipt") == [], "now it has ended"


async def test_a_task_that_its_provider_knows_by_none_of_its_names_is_lost_until_one_of_them_ends_it(world: World) -> None:
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    assert await world.callback("running", job) == 200
    world.on_query = [UNKNOWN] * 40
    await wait(world, hours=3)
    now = await world.task(task.id)
    assert (now.state, now.poll_at) == (State.LOST, None)
    assert min(world.asked.count(name) for name in ("cgt-forged", "cgt-1")) >= 3
    assert len(world.asked) < 20, "and its provider is not hammered"
    assert await world.callback("succeeded", job) == 200
    now = await world.task(task.id)
    assert (now.state, now.remote_id) == (State.SUCCEEDED, "cgt-1")


async def test_a_provider_that_cannot_be_heard_says_nothing_about_any_name(world: World) -> None:
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    assert await world.callback("succeeded", job) == 200
    world.on_query = [httpx.Response(500)] * 40
    await wait(world, hours=2)
    assert (await world.task(task.id)).state is State.RUNNING
    world.on_query.clear()
    await wait(world, hours=2)
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_a_lost_task_that_is_called_otherwise_now_is_asked_about_by_that_name(world: World) -> None:
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    await wait(world, hours=2)
    assert (await world.task(task.id)).state is State.LOST
    assert await world.callback("succeeded", job) == 200
    assert (await explained(world, task))["code"] == "lost.contested"
    await ask(world)
    now = await world.task(task.id)
    assert (now.state, now.remote_id, now.poll_at) == (State.SUCCEEDED, "cgt-1", None)


async def test_a_lost_task_whose_new_name_is_unknown_as_well_stays_lost_and_is_left_alone(world: World) -> None:
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    await wait(world, hours=2)
    world.asked.clear()
    await forged(world, job, "cgt-other")
    await wait(world, hours=1)
    now = await world.task(task.id)
    assert (now.state, now.poll_at, world.asked) == (State.LOST, None, ["cgt-forged", "cgt-other"])


async def test_a_deadline_that_passes_between_two_names_does_not_leave_the_second_unasked(world: World) -> None:
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    assert await world.callback("running", job) == 200
    job.status = "succeeded"  # and nobody says so
    world.silence(hours=24 * 8)
    await ask(world)
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_whoever_got_hold_of_an_address_cannot_make_us_ask_about_every_name(world: World) -> None:
    task, job = await lost(world)
    for number in range(20):
        await forged(world, job, f"cgt-forged-{number}")
        await world.reconcile()
        world.silence(seconds=1)
    await wait(world, hours=3)
    assert len({*world.asked}) == 1 + OTHERS
    assert len(world.asked) < 60
    assert (await world.task(task.id)).state is State.LOST
    assert len(await conflicts(world)) == 19, "but each is told of"


async def test_an_ending_that_only_another_name_claims_is_not_believed_before_it_is_confirmed(confirming: World) -> None:
    task, job = await lost(confirming)
    await forged(confirming, job, "cgt-forged", "succeeded")
    assert (await confirming.task(task.id)).state is State.CREATED
    await forged(confirming, job, "cgt-other", "failed")
    confirming.on_query = [UNKNOWN] * 2
    await ask(confirming)
    assert (await confirming.task(task.id)).state is State.CREATED
    assert await confirming.callback("running", job) == 200
    await ask(confirming, 3)
    now = await confirming.task(task.id)
    assert (now.state, now.remote_id) == (State.RUNNING, "cgt-1")


async def test_a_name_that_is_anothers_job_is_neither_kept_nor_asked_about(world: World) -> None:
    known = await world.submit("known")
    task, job = await lost(world)
    await forged(world, job, "cgt-forged")
    await forged(world, job, str(known.remote_id), "succeeded")
    assert (await world.rows("SELECT aliases FROM submission WHERE task_id = :task", task=task.id))[0].aliases == ""
    assert (await world.task(known.id)).state is State.QUEUED


async def test_a_name_that_became_anothers_meanwhile_counts_as_unknown(world: World) -> None:
    task, job = await lost(world, "mine")
    await forged(world, job, "cgt-forged")
    await forged(world, job, "cgt-2")
    assert await world.callback("running", job) == 200
    theirs = await world.submit("theirs")
    assert theirs.remote_id == "cgt-2"
    await ask(world, 3)
    assert world.asked == ["cgt-forged", "cgt-2", "cgt-1"]
    assert (await world.task(task.id)).remote_id == "cgt-1"
    assert (await world.task(theirs.id)).remote_id == "cgt-2"


async def test_no_order_is_given_a_job_from_the_list_that_anothers_callback_has_named(world: World) -> None:
    mine, job = await lost(world, "mine")
    await forged(world, job, "cgt-forged")
    world.on_create = [httpx.ReadTimeout("nothing was placed")]
    placed = await world.order("without a job")
    await world.send()
    world.down.add("ark.test")
    assert await world.callback("succeeded", job) == 200
    world.down.clear()
    world.on_query = [httpx.Response(500)]  # nobody says yet which name is true
    world.silence(seconds=60)
    for _ in range(4):
        await world.reconcile()
        world.silence(seconds=30)
    assert world.listed
    assert placed.task is not None
    assert (await world.task(placed.task.id)).remote_id is None
    await wait(world, hours=1)
    assert (await world.task(mine.id)).remote_id == "cgt-1"
