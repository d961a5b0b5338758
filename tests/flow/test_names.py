"""One job, one order: a provider's name for a job belongs to one submission, and every paid job is shown, wanted or not."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from service.domain import ids
from service.domain.lifecycle import State
from service.domain.news import Source
from service.domain.placement import UNRESOLVED
from service.domain.report import Report
from service.domain.task import Task
from service.flow import place
from service.flow.record import Arrival, record
from service.store.postgres import async_url
from tests.world import Engine, Job, World

pytestmark = pytest.mark.anyio

MUTE = "accept and time out"
SILENT = httpx.ReadTimeout("who knows")


def name(task: Task) -> str:
    return ids.encode(ids.TASK, task.id)


async def lost(world: World, answer: Any = SILENT) -> Task:
    """An order whose answer got lost."""
    world.on_create = [answer]
    placed = await world.order(f"number {world.creates}")
    await world.send()
    assert placed.task is not None
    return await world.task(placed.task.id)


async def resolve(world: World, task: Task, remote_id: str | None = None) -> httpx.Response:
    told = {"outcome": "never_happened"} if remote_id is None else {"outcome": "accepted", "remote_id": remote_id}
    return await world.api("POST", f"/v1/tasks/{name(task)}/resolve", told)


async def names(world: World) -> list[str | None]:
    return [row.remote_id for row in await world.rows("SELECT remote_id FROM submission ORDER BY id")]


async def alerts(world: World, kind: str = "callback.conflict") -> list[str]:
    rows = await world.rows("SELECT body FROM event WHERE type = :kind ORDER BY id", kind=kind)
    return [orjson.loads(bytes(row.body))["data"]["message"] for row in rows]


async def health(world: World) -> dict[str, Any]:
    [row] = (await world.api("GET", "/v1/providers")).json()["data"]
    found: dict[str, Any] = row["health"]
    return found


# --- one job for one order ---


async def test_one_job_is_given_to_one_of_two_orders_that_claim_it_at_once(world: World) -> None:
    orders = [await lost(world) for _ in range(6)]
    answers = await asyncio.gather(*(resolve(world, order, "cgt-it") for order in orders))
    assert Counter(a.status_code for a in answers) == {200: 1, 409: 5}
    assert {a.json()["detail"] for a in answers if a.status_code == 409} == {"cgt-it is another order's already"}
    assert Counter(await names(world)) == {"cgt-it": 1, None: 5}
    assert Counter([(await world.task(order.id)).reason for order in orders]) == {None: 1, "unknown_outcome": 5}


async def test_two_processes_cannot_give_one_job_to_two_orders(postgres_url: str, engine: Engine) -> None:
    if not engine.url.startswith("postgresql"):
        pytest.skip("SQLite has one process")
    async with World(engine) as world:
        mine, theirs = await lost(world), await lost(world)
        other = create_async_engine(async_url(postgres_url))
        async with other.begin() as sql:
            given = text("UPDATE submission SET remote_id = 'cgt-it', outcome = 'accepted' WHERE task_id = :task")
            await sql.execute(given, {"task": theirs.id})
            answer = asyncio.create_task(resolve(world, mine, "cgt-it"))
            async with other.connect() as look:
                while (
                    not answer.done()
                    and not (await look.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))).scalar_one()
                ):
                    await look.rollback()
        assert (await answer).status_code == 409
        await other.dispose()
        assert await names(world) == [None, "cgt-it"]


async def test_a_callback_that_names_anothers_job_is_a_conflict_and_poisons_nobody_elses(world: World) -> None:
    known = [await world.submit(f"known {i}") for i in range(8)]
    strange = await lost(world, MUTE)
    await world.subscribe(events=["callback.conflict"])
    job = world.jobs["cgt-9"]
    asked = [world.callback("running", world.job(task)) for task in known]
    assert set(await asyncio.gather(*asked, world.callback("running", job, id="cgt-1"))) == {200}
    assert [(await world.task(t.id)).state for t in (*known, strange)] == [State.RUNNING] * 8 + [State.CREATED]
    [said] = await alerts(world)
    assert "cgt-1" in said
    assert name(known[0]) in said
    [kept] = await world.rows("SELECT verdict FROM receipt WHERE task_id = :task", task=strange.id)
    assert kept.verdict == "conflict"
    assert await world.callback("running", job) == 200, "and its own name still heals it"
    assert (await world.task(strange.id)).remote_id == "cgt-9"


async def test_an_answer_that_names_anothers_job_is_left_to_an_operator_and_never_sent_again(world: World) -> None:
    first = await world.submit("first")
    world.on_create = [httpx.Response(200, json={"id": "cgt-1"})]
    second = await world.submit("second")
    assert (second.state, second.reason, second.remote_id) == (State.CREATED, UNRESOLVED, None)
    assert len(await alerts(world)) == 1
    assert (await health(world))["unknown_open"] == 1
    world.silence(hours=5)
    await world.send()
    await world.reconcile()
    assert world.creates == 2
    assert (await world.task(first.id)).remote_id == "cgt-1"
    assert (await resolve(world, second, "cgt-own")).status_code == 200


async def test_a_job_that_somebody_got_meanwhile_is_not_adopted_from_the_list(world: World) -> None:
    await world.submit("first")
    task = await lost(world)
    listed = Report(State.RUNNING, "running", "cgt-1")
    recorded = await record(world.parts, Arrival(listed, Source.POLL, task.submission_id, task.id))
    assert recorded.task is not None
    assert (recorded.task.state, recorded.task.remote_id, recorded.task.reason) == (State.CREATED, None, "unknown_outcome")
    assert await alerts(world) == []
    assert recorded.task.poll_at is not None
    assert recorded.task.poll_at > world.now, "it is looked for again"


# --- jobs that nobody wanted ---


async def paid_twice(world: World) -> tuple[Task, Job, Job]:
    """Two lost answers of one order, and both of its jobs exist."""
    task = await lost(world, MUTE)
    assert (await resolve(world, task)).status_code == 200
    world.on_create = [MUTE]
    await world.send()
    first, second = world.jobs["cgt-1"], world.jobs["cgt-2"]
    assert await world.callback("running", first) == 200
    return task, first, second


async def test_a_second_paid_job_is_kept_alerted_and_shown_and_nothing_stays_unknown(world: World) -> None:
    task, first, second = await paid_twice(world)
    assert (await health(world))["unknown_open"] == 1
    assert "warnings" not in (await shown(world, task)) or (await shown(world, task))["warnings"] == []
    tag = (await world.api("GET", f"/v1/tasks/{name(task)}")).headers["etag"]
    for _ in range(3):
        assert await world.callback("running", second) == 200
    assert await names(world) == ["cgt-1", "cgt-2"]
    assert {row.outcome for row in await world.rows("SELECT outcome FROM submission")} == {"accepted"}
    [said] = await alerts(world)
    assert "paid twice" in said
    assert "cgt-1" in said
    assert "cgt-2" in said
    now = await world.task(task.id)
    assert (now.state, now.remote_id) == (State.RUNNING, "cgt-1")
    found = await health(world)
    assert (found["unknown_open"], found["in_flight"]) == (0, 1)
    assert found["unknown_healed"]["callback"] == 1
    assert (await shown(world, task))["warnings"] == ["also_placed"]
    assert (await world.api("GET", f"/v1/tasks/{name(task)}")).headers["etag"] != tag
    told = (await world.api("GET", f"/v1/tasks/{name(task)}/explain")).json()
    assert "cgt-2" in told["why"]
    timeline = (await world.api("GET", f"/v1/tasks/{name(task)}/timeline")).json()["data"]
    assert [e["remote_id"] for e in timeline if e["type"] == "submission"] == ["cgt-1", "cgt-2"]
    assert [e["message"] for e in timeline if e["type"] == "event" and e["event"] == "callback.conflict"] == [said]
    assert await world.callback("succeeded", second) == 200
    assert await world.callback("succeeded", first) == 200
    done = await shown(world, task)
    assert done["result"]["video_url"].endswith("cgt-1.mp4"), "the first placement is the task's"


async def shown(world: World, task: Task) -> dict[str, Any]:
    found: dict[str, Any] = (await world.api("GET", f"/v1/tasks/{name(task)}")).json()
    return found


async def test_a_late_callback_of_an_order_that_was_placed_again_is_kept_with_its_name(world: World) -> None:
    task = await lost(world, MUTE)
    await resolve(world, task)
    await world.send()
    assert await world.callback("running", world.jobs["cgt-1"]) == 200
    assert await names(world) == ["cgt-1", "cgt-2"]
    assert (await world.task(task.id)).remote_id == "cgt-2"
    assert (await shown(world, task))["warnings"] == ["also_placed"]


async def test_the_answer_to_an_order_that_its_older_job_overtook_is_kept(world: World) -> None:
    task = await lost(world, MUTE)
    await resolve(world, task)
    [placement] = await place.place_waiting(world.parts, 10)
    assert await world.callback("running", world.jobs["cgt-1"]) == 200
    await place.send(world.parts, placement)
    assert await names(world) == ["cgt-1", "cgt-2"]
    assert (await world.task(task.id)).remote_id == "cgt-1"
    assert len(await alerts(world)) == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "unknown_open"),
    [
        (SILENT, "unknown", 1),
        (httpx.ConnectError("refused"), "not_sent", 0),
        (httpx.Response(400, json={"error": {"code": "InvalidParameter", "message": "no"}}), "rejected", 0),
    ],
    ids=["unknown", "not_sent", "rejected"],
)
async def test_an_order_that_its_older_job_overtook_does_not_stay_on_its_way(
    world: World, answer: Any, outcome: str, unknown_open: int
) -> None:
    task = await lost(world, MUTE)
    await resolve(world, task)
    [placement] = await place.place_waiting(world.parts, 10)
    assert await world.callback("running", world.jobs["cgt-1"]) == 200
    world.on_create = [answer]
    await place.send(world.parts, placement)
    outcomes = [row.outcome for row in await world.rows("SELECT outcome FROM submission ORDER BY number")]
    assert outcomes == ["accepted", outcome]
    assert (await world.task(task.id)).state is State.RUNNING
    assert (await health(world))["unknown_open"] == unknown_open
    if unknown_open:
        assert (await resolve(world, task)).status_code == 200, "an operator can say of it, too, that it never happened"
        assert (await health(world))["unknown_open"] == 0
        assert ((await world.task(task.id)).state, world.creates) == (State.RUNNING, 2)


async def test_a_second_name_of_one_submission_is_told_with_both_names_and_the_first_is_kept(world: World) -> None:
    task = await world.submit()
    job = world.job(task)
    assert await world.callback("succeeded") == 200
    assert await world.callback("failed", job) == 200
    assert len(await alerts(world)) == 1, "it ended twice"
    for other in ("cgt-b", "cgt-b", "cgt-c"):
        assert await world.callback("succeeded", job, id=other) == 200
    said = (await alerts(world))[1:]
    assert [("cgt-1" in each, "cgt-b" in each, "cgt-c" in each) for each in said] == [(True, True, False), (True, False, True)]
    bodies = await world.rows("SELECT body FROM receipt ORDER BY id")
    assert [orjson.loads(bytes(row.body))["id"] for row in bodies] == ["cgt-1", "cgt-1", "cgt-b", "cgt-b", "cgt-c"]
    assert ((await world.task(task.id)).remote_id, await names(world)) == ("cgt-1", ["cgt-1"])


async def overtaken_by(world: World, *said: tuple[str, str]) -> Task:
    """An order whose answer comes only after callbacks that name these jobs: (name, status)."""
    placed = await world.order()
    ask = place._ask_gateway

    async def late(*given: Any) -> Any:
        outcome = await ask(*given)
        for name, status in said:
            assert await world.callback(status, id=name) == 200
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "_ask_gateway", late)
        await world.send()
    assert placed.task is not None
    return await world.task(placed.task.id)


async def test_the_answer_to_an_order_is_believed_before_a_callback_that_named_another_job(world: World) -> None:
    task = await overtaken_by(world, ("cgt-forged", "running"), ("cgt-1", "succeeded"))
    assert (task.remote_id, task.state, await names(world)) == ("cgt-1", State.RUNNING, ["cgt-1"])
    assert all("cgt-forged" in said and "cgt-1" in said for said in await alerts(world))
    world.jobs["cgt-1"].status = "succeeded"
    await world.reconcile()
    assert (await world.task(task.id)).state is State.SUCCEEDED, "it was asked about at once"


async def test_an_answer_that_differs_from_what_ended_a_task_is_alerted_and_changes_nothing(world: World) -> None:
    task = await overtaken_by(world, ("cgt-forged", "succeeded"))
    assert (task.remote_id, task.state) == ("cgt-forged", State.SUCCEEDED)
    assert len(await alerts(world)) == 1


async def test_a_job_of_an_order_that_was_withdrawn_is_alerted_and_kept(world: World) -> None:
    task = await lost(world, MUTE)
    await resolve(world, task)
    assert (await world.api("POST", f"/v1/tasks/{name(task)}/cancel")).json()["state"] == "cancelled"
    assert await world.callback("running", world.jobs["cgt-1"]) == 200
    [said] = await alerts(world)
    assert "cgt-1" in said
    assert "cancelled" in said
    assert await names(world) == ["cgt-1"]
    assert ((await world.task(task.id)).state, (await shown(world, task))["warnings"]) == (State.CANCELLED, ["also_placed"])
