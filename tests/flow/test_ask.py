"""Asking now: what silence would bring later, at once, and never more than the account allows."""

from typing import Any

import httpx
import pytest

from service.accounts import Desk
from service.domain import ids
from service.domain.admission import Caps
from service.domain.lifecycle import State
from service.domain.placement import UNRESOLVED
from service.domain.task import Task
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from tests.world import ARK, Engine, World

pytestmark = pytest.mark.anyio

SILENT = httpx.ReadTimeout("who knows")


async def ask(world: World, task: Task, **headers: Any) -> httpx.Response:
    return await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, task.id)}/ask", **headers)


async def test_a_task_is_asked_about_at_once_and_its_news_is_recorded(world: World) -> None:
    task = await world.submit()
    world.job(task).status = "running"
    await world.reconcile()
    assert world.asked == [], "its callback is expected, and silence is not abnormal yet"
    answer = await ask(world, task)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert world.parts.stale.bell.is_set(), "and the reconciler is woken"
    await world.reconcile()
    assert (world.asked, (await world.task(task.id)).state) == (["cgt-1"], State.RUNNING)
    await world.reconcile()
    assert world.asked == ["cgt-1"], "once"


async def test_many_who_ask_get_no_more_than_the_provider_allows(world: World) -> None:
    tasks = [await world.submit(f"{i}") for i in range(40)]
    for task in tasks * 2:
        assert (await ask(world, task)).status_code == 202
    for _ in range(20):
        await world.reconcile()
    assert (len(world.listed), len(world.asked)) == (1, 0), "one list for all of them, and the next only when it is allowed"


async def test_the_list_is_searched_at_once_for_an_order_whose_answer_got_lost(world: World) -> None:
    world.on_create = ["accept and time out"]
    task = await world.submit()
    assert (await ask(world, task)).status_code == 202
    await world.reconcile()
    assert (await world.task(task.id)).remote_id == "cgt-1"


async def test_an_unresolved_order_is_looked_for_once_more_and_comes_back_to_the_operator(world: World) -> None:
    world.on_create = [SILENT]
    task = await world.submit()
    for _ in range(200):
        world.silence(seconds=30)
        await world.reconcile()
    assert (await world.task(task.id)).reason == UNRESOLVED
    looks = len(world.listed)
    assert (await ask(world, task)).status_code == 202
    world.silence(seconds=2)
    await world.reconcile()
    assert (len(world.listed), (await world.task(task.id)).reason) == (looks + 1, UNRESOLVED)
    assert world.creates == 1


async def test_looks_that_were_asked_for_use_up_none_of_those_that_come_by_themselves(world: World) -> None:
    """Found by an attack: six questions in as many seconds, and a job that the list showed late was nobody's."""
    world.on_create = ["accept and time out"]
    task = await world.submit()
    hidden = dict(world.jobs)
    world.jobs.clear()
    for _ in range(8):
        assert (await ask(world, task)).status_code == 202
        world.silence(seconds=1.5)
        await world.reconcile()
    assert len(world.listed) == 8
    looked_for = await world.task(task.id)
    assert (looked_for.reason, looked_for.asks, looked_for.poll_at) == ("unknown_outcome", 0, looked_for.created_at + 20_000)
    world.silence(minutes=20)
    await world.reconcile()
    assert (await world.task(task.id)).reason == "unknown_outcome"
    world.jobs.update(hidden)
    world.silence(minutes=40)
    await world.reconcile()
    assert (await world.task(task.id)).remote_id == "cgt-1"


async def test_an_order_that_is_asked_about_all_the_time_is_an_operators_in_the_end(world: World) -> None:
    world.on_create = [SILENT]
    task = await world.submit()
    for _ in range(65):
        assert (await ask(world, task)).status_code == 202
        world.silence(minutes=1)
        await world.reconcile()
    assert (await world.task(task.id)).reason == UNRESOLVED


async def explained(world: World, task: Task) -> Any:
    return (await world.api("GET", f"/v1/tasks/{ids.encode(ids.TASK, task.id)}/explain")).json()


async def test_what_was_not_asked_yet_is_not_called_a_question(world: World) -> None:
    task = await world.submit()
    await ask(world, task)
    assert (await explained(world, task))["code"] == "queued.asking"
    await world.reconcile()
    assert "the last question." in (await explained(world, task))["why"]


async def test_whoever_asks_is_told_when_an_account_that_wants_to_be_left_alone_may_be_asked(world: World) -> None:
    first, other = await world.submit("first"), await world.submit("other")
    world.on_query = [httpx.Response(429, headers={"Retry-After": "600"}, json={"error": {"code": "x", "message": "y"}})]
    assert "retry-after" not in (await ask(world, first)).headers
    await world.reconcile()
    answer = await ask(world, other)
    assert (answer.status_code, int(answer.headers["retry-after"])) == (202, 600)
    told = await explained(world, other)
    assert ("left alone" in told["next"], told["next_at"]) == (True, "2026-11-18T11:16:40.000Z")


async def test_what_has_ended_waits_or_is_on_its_way_cannot_be_asked_about(world: World) -> None:
    task = await world.submit()
    await world.callback("succeeded")
    answer = await ask(world, task)
    assert (answer.status_code, "succeeded" in answer.json()["detail"]) == (409, True)
    on_its_way = (await world.order("sent")).task
    assert on_its_way is not None
    answer = await ask(world, on_its_way)
    assert (answer.status_code, "at this moment" in answer.json()["detail"]) == (409, True)
    world.silence(seconds=1)
    await world.reconcile()
    assert (await world.task(on_its_way.id)).reason is None, "it is not taken for one whose answer got lost"
    world.parts.submitter.open = False
    waits = (await world.order("waits")).task
    assert waits is not None
    answer = await ask(world, waits)
    assert (answer.status_code, "waits to be placed" in answer.json()["detail"]) == (409, True)
    assert (await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, 5)}/ask")).status_code == 404


async def test_where_there_is_no_list_an_operator_has_to_say(engine: Engine) -> None:
    blind = Desk(Account("apiyi", "default", ARK, "key"), GATEWAYS["apiyi"], caps=Caps())
    async with World(engine, desks=[blind]) as world:
        world.on_create = [SILENT]
        task = await world.submit()
        answer = await ask(world, task)
        assert (answer.status_code, "resolve" in answer.json()["detail"]) == (409, True)
