"""Orders whose answer got lost: healed by a callback, by the provider's list, by an operator; never sent again by themselves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from service.accounts import Desk
from service.domain import ids
from service.domain.admission import Caps
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.placement import UNRESOLVED
from service.domain.task import Task
from service.providers.base import Account, Callbacks
from service.providers.registry import GATEWAYS
from tests.world import ARK, Engine, World

pytestmark = pytest.mark.anyio

MUTE = "accept and time out"
MARKED = {"mark_orders": "safety_identifier"}


def desk(callbacks: Callbacks | None = None, **options: str) -> Desk:
    return Desk(Account("ark", "default", ARK, "key", callbacks, options), GATEWAYS["ark"], caps=Caps())


@pytest.fixture
async def marked(engine: Engine) -> AsyncIterator[World]:
    """Orders carry their submission's name, and nothing is called back."""
    async with World(engine, desks=[desk(Callbacks.NONE, **MARKED)]) as world:
        yield world


async def ordered(world: World, count: int, **fields: Any) -> list[Task]:
    """Each accepted by the provider, each answer lost."""
    world.on_create = [MUTE] * count
    placed = [await world.order(f"number {i}", **fields) for i in range(count)]
    await world.send()
    assert world.creates == count
    return [p.task for p in placed]


async def states(world: World) -> dict[str, int]:
    return {row.state: row.n for row in await world.rows("SELECT state, count(*) AS n FROM task GROUP BY state")}


async def wait_it_out(world: World, minutes: int = 90) -> None:
    for _ in range(minutes * 2):
        world.silence(seconds=30)
        await world.send()
        await world.reconcile()


async def test_a_hundred_lost_answers_are_healed_by_callbacks_and_none_is_sent_twice(world: World) -> None:
    await ordered(world, 100)
    for job in list(world.jobs.values()):
        assert await world.callback("running", job) == 200
    assert await states(world) == {"running": 100}
    assert (world.creates, len(world.jobs)) == (100, 100)
    assert world.listed == world.asked == []


async def test_without_callbacks_a_hundred_lost_answers_are_healed_by_the_list(marked: World) -> None:
    tasks = await ordered(marked, 100)
    marked.silence(seconds=30)
    await marked.reconcile()
    assert await states(marked) == {"queued": 100}
    assert len(marked.listed) == 1, "one look for all of them"
    for task in tasks:
        mark = marked.job(await marked.task(task.id)).body["safety_identifier"]
        [sub] = await marked.rows("SELECT id FROM submission WHERE task_id = :task", task=task.id)
        assert mark.startswith("sbm_")
        assert (await marked.task(task.id)).submission_id == sub.id
    await wait_it_out(marked, 2)
    assert marked.creates == 100


async def test_with_neither_a_hundred_are_flagged_and_none_is_sent_again(engine: Engine) -> None:
    async with World(engine, desks=[desk(Callbacks.NONE)]) as world:
        await world.subscribe(events=["submission.unknown"])
        tasks = await ordered(world, 100)
        await wait_it_out(world)
        assert (await states(world), world.creates) == ({"created": 100}, 100)
        assert {(await world.task(t.id)).reason for t in tasks} == {UNRESOLVED}
        alerts = await world.rows("SELECT count(*) AS n FROM event WHERE type = 'submission.unknown'")
        assert alerts[0].n == 200, "once when the answer got lost, once when an operator has to say"
        assert len(world.listed) < 20, "and the list is not hammered"


async def test_one_lost_answer_is_healed_by_the_list_even_without_a_mark(engine: Engine) -> None:
    async with World(engine, desks=[desk(Callbacks.NONE)]) as world:
        known = await world.submit("known")
        [lost] = await ordered_one(world)
        world.silence(seconds=30)
        await world.reconcile()
        assert (await world.task(lost.id)).remote_id == "cgt-2"
        assert (await world.task(known.id)).remote_id == "cgt-1"


async def ordered_one(world: World) -> list[Task]:
    world.on_create = [MUTE]
    placed = await world.order("lost")
    await world.send()
    return [placed.task]


async def test_an_order_that_the_provider_never_took_is_not_given_anothers_job(engine: Engine) -> None:
    async with World(engine, desks=[desk(Callbacks.NONE)]) as world:
        await world.submit("known")
        world.on_create = [httpx.ReadTimeout("nothing was placed")]
        placed = await world.order("lost")
        await world.send()
        await wait_it_out(world)
        assert (await world.task(placed.task.id)).reason == UNRESOLVED


@pytest.mark.parametrize("back", [False, True])
async def test_no_order_is_given_the_job_of_one_that_was_sent_before_the_clock_was_set(world: World, back: bool) -> None:
    """Found by the simulation, seeds 20046 and 20050: by its own time the one without a job was the only one that fitted, and
    the callbacks of the other were taken for a contradiction."""
    world.on_create = [httpx.ReadTimeout("nothing was placed")]
    without = (await world.order("without a job")).task
    await world.send()
    world.clock_jumps(hours=1)
    [lost] = await ordered_one(world)
    if back:  # every answer from now on says that our clock is right
        world.clock_jumps(hours=-1)
    await wait_it_out(world, 2)
    assert (await world.task(without.id)).remote_id is None
    assert (await world.task(lost.id)).remote_id is None, "its own time cannot be trusted either"
    world.silence(hours=1)
    assert await world.callback("succeeded") == 200
    assert (await world.task(lost.id)).state is State.SUCCEEDED


async def test_an_answer_sets_the_clock_right_and_lost_orders_are_found_again(world: World) -> None:
    world.clock_jumps(hours=1)
    world.clock_jumps(hours=-1)
    [lost] = await ordered_one(world)
    world.silence(seconds=30)
    await world.reconcile()
    assert (await world.task(lost.id)).remote_id == "cgt-1"


async def test_an_account_that_was_never_heard_is_not_guessed_about(world: World) -> None:
    world.parts.accounts.agreed.clear()
    [early] = await ordered_one(world)
    await world.submit("answered")
    await wait_it_out(world, 2)
    assert (await world.task(early.id)).remote_id is None
    world.silence(minutes=5)
    assert await world.callback("succeeded", world.jobs["cgt-1"]) == 200
    [late] = await ordered_one(world)
    await wait_it_out(world, 2)
    assert (await world.task(late.id)).remote_id == "cgt-3"


def key(name: str, **options: str) -> Desk:
    """One of several keys for the same place."""
    return Desk(Account("ark", name, ARK, f"key of {name}", Callbacks.NONE, options), GATEWAYS["ark"], caps=Caps())


async def lost_after(world: World, answer: Any, **fields: Any) -> Task:
    world.on_create = [answer]
    placed = await world.order("lost", **fields)
    await world.send()
    return placed.task


async def test_two_keys_of_one_place_give_nobody_the_others_job(engine: Engine) -> None:
    """Their lists are one list: what was lost under the other key stands in the way of a guess."""
    async with World(engine, desks=[key("one")]) as world:
        await world.submit("whose answer tells that our clock is right")
        never = await lost_after(world, httpx.ReadTimeout("nothing was placed"))
        world.desks = [key("two"), key("one")]
        await world.crash()
        await world.submit("whose answer tells it of the other key")
        placed = await lost_after(world, MUTE)
        await wait_it_out(world)
        assert {(await world.task(t.id)).account for t in (never, placed)} == {"one", "two"}
        assert {(await world.task(t.id)).remote_id for t in (never, placed)} == {None}
        assert {(await world.task(t.id)).reason for t in (never, placed)} == {UNRESOLVED}


async def denied_and_lost(world: World) -> tuple[Task, Task]:
    """An operator says that the first never happened, though it did; the second never did."""
    await world.submit("whose answer tells that our clock is right")
    first = await lost_after(world, MUTE)
    answer = await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, first.id)}/resolve", {"outcome": "never_happened"})
    assert answer.status_code == 200
    await world.send()
    world.silence(seconds=1)
    return first, await lost_after(world, httpx.ReadTimeout("nothing was placed"))


async def test_an_operator_who_is_wrong_gives_nobody_anothers_job(engine: Engine) -> None:
    async with World(engine, desks=[key("one")]) as world:
        _, second = await denied_and_lost(world)
        await wait_it_out(world)
        assert ((await world.task(second.id)).remote_id, (await world.task(second.id)).reason) == (None, UNRESOLVED)


async def test_what_an_operator_denied_long_ago_hinders_no_search(engine: Engine) -> None:
    async with World(engine, desks=[key("one")]) as world:
        await denied_and_lost(world)
        world.silence(minutes=10)
        later = await lost_after(world, MUTE)
        world.silence(seconds=30)
        await world.reconcile()
        assert (await world.task(later.id)).remote_id == "cgt-4"


async def test_a_mark_needs_no_guess_whatever_an_operator_denied(marked: World) -> None:
    first = await lost_after(marked, MUTE)
    answer = await marked.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, first.id)}/resolve", {"outcome": "never_happened"})
    assert answer.status_code == 200
    second = await lost_after(marked, MUTE)
    marked.silence(seconds=30)
    await marked.reconcile()
    assert marked.job(await marked.task(second.id)).body["content"][0]["text"] == "lost"
    assert len({job.id for job in marked.jobs.values()}) == 3
    assert (await marked.task(second.id)).state is State.QUEUED


async def test_a_mark_is_never_put_where_the_caller_has_put_something(marked: World) -> None:
    await marked.submit(safety_identifier="user-1")
    assert marked.jobs["cgt-1"].body["safety_identifier"] == "user-1"


async def test_orders_are_not_marked_unless_the_operator_allows_it(world: World) -> None:
    await world.submit()
    assert "safety_identifier" not in world.jobs["cgt-1"].body


async def test_a_search_reads_the_tier_it_is_about(engine: Engine) -> None:
    async with World(engine, desks=[desk(Callbacks.NONE, **MARKED)]) as world:
        [task] = await ordered(world, 1, service_tier="flex")
        world.silence(seconds=30)
        await world.reconcile()
        assert world.listed[0]["filter.service_tier"] == "flex"
        assert (await world.task(task.id)).state is State.QUEUED


async def test_a_restart_while_sending_heals_like_a_lost_answer(marked: World) -> None:
    placed = await marked.order()
    [placement] = marked.parts.submitter.take(10)
    marked.on_create = [MUTE]
    request = asyncio.ensure_future(marked.parts.transport.handle_async_request(_request(marked, placement)))
    with pytest.raises(httpx.ReadTimeout):
        await request
    await marked.crash()
    await marked.send()
    assert marked.creates == 1
    marked.silence(minutes=2)
    for _ in range(3):
        await marked.reconcile()
        marked.silence(seconds=30)
    task = await marked.task(placed.task.id)
    assert (task.state, task.remote_id, marked.creates) == (State.QUEUED, "cgt-1", 1)


def _request(world: World, placement: Any) -> httpx.Request:
    """What the process was sending when it died."""
    order = replace(
        Order.of(orjson.loads(placement.order)), safety_identifier=ids.encode(ids.SUBMISSION, placement.submission.id)
    )
    return GATEWAYS["ark"].submit(world.desks[0].account, order, None)


# --- an operator says what happened ---


async def unresolved(world: World) -> str:
    world.on_create = [httpx.ReadTimeout("who knows")]
    placed = await world.order()
    await world.send()

    return ids.encode(ids.TASK, placed.task.id)


async def test_an_operator_says_that_it_never_happened_and_it_is_placed_once_more(world: World) -> None:
    name = await unresolved(world)
    answer = await world.api("POST", f"/v1/tasks/{name}/resolve", {"outcome": "never_happened"})
    assert answer.status_code == 200
    await world.send()
    assert (await world.api("GET", f"/v1/tasks/{name}")).json()["state"] == "queued"
    assert world.creates == 2
    again = await world.api("POST", f"/v1/tasks/{name}/resolve", {"outcome": "never_happened"})
    assert again.status_code == 409


async def test_an_operator_names_the_job_and_it_is_asked_about_at_once(world: World) -> None:
    known = await world.submit("known")
    name = await unresolved(world)
    taken = await world.api("POST", f"/v1/tasks/{name}/resolve", {"outcome": "accepted", "remote_id": known.remote_id})
    assert taken.status_code == 409, "that one is another order's"
    answer = await world.api("POST", f"/v1/tasks/{name}/resolve", {"outcome": "accepted", "remote_id": "cgt-elsewhere"})
    assert (answer.status_code, answer.json()["remote_id"]) == (200, "cgt-elsewhere")
    await world.reconcile()
    assert world.asked == ["cgt-elsewhere"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"outcome": "maybe"},
        {"outcome": "accepted"},
        {"outcome": "never_happened", "remote_id": "x"},
        {"outcome": "accepted", "remote_id": "a b"},
    ],
)
async def test_a_resolution_that_makes_no_sense_is_refused(world: World, body: dict[str, Any]) -> None:
    name = await unresolved(world)
    assert (await world.api("POST", f"/v1/tasks/{name}/resolve", body)).status_code == 422


async def test_only_what_is_unknown_can_be_resolved(world: World) -> None:

    task = await world.submit()
    name = ids.encode(ids.TASK, task.id)
    assert (await world.api("POST", f"/v1/tasks/{name}/resolve", {"outcome": "never_happened"})).status_code == 409
    assert world.creates == 1


async def test_a_late_callback_of_an_order_that_was_placed_again_is_a_conflict_and_an_alert(world: World) -> None:
    await world.subscribe(events=["callback.conflict"])
    world.on_create = [MUTE]
    placed = await world.order()
    await world.send()

    await world.api("POST", f"/v1/tasks/{ids.encode(ids.TASK, placed.task.id)}/resolve", {"outcome": "never_happened"})
    await world.send()
    assert await world.callback("running", world.jobs["cgt-1"]) == 200
    await world.deliver()
    assert world.heard() == ["callback.conflict"]
    assert (await world.task(placed.task.id)).remote_id == "cgt-2"
