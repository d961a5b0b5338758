"""The one door: what becomes of a task when news comes in any order, any number of times."""

import asyncio
from datetime import UTC, datetime
from itertools import permutations

import httpx
import orjson
import pytest
from standardwebhooks import Webhook

from service.domain.lifecycle import State
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_an_order_becomes_a_signed_notice_for_each_transition(world: World) -> None:
    sub = await world.subscribe()
    task = await world.submit("a paper boat")
    assert (task.state, task.remote_id) == (State.QUEUED, "cgt-1")
    for status in ("running", "succeeded"):
        assert await world.callback(status) == 200
    await world.deliver()
    assert world.heard() == ["task.queued", "task.running", "task.succeeded"]
    for said in world.said:
        at = datetime.fromtimestamp(int(said.headers["webhook-timestamp"]), UTC)
        assert Webhook(sub.secret).sign(said.id, at, said.body.decode()) == said.headers["webhook-signature"]


async def test_callbacks_that_arrive_mean_no_polls(world: World) -> None:
    task = await world.submit()
    for status in ("running", "succeeded"):
        world.silence(minutes=3)
        await world.callback(status)
        await world.reconcile()
    world.silence(hours=30)
    await world.reconcile()
    assert world.asked == []
    assert (await world.task(task.id)).polls == 0


async def test_a_task_whose_callbacks_are_all_lost_ends_by_polling(world: World) -> None:
    await world.subscribe()
    task = await world.submit()
    for status in ("queued", "running", "succeeded"):
        world.job(task).status = status
        world.silence(minutes=11)
        await world.reconcile()
    await world.deliver()
    assert (await world.task(task.id)).state is State.SUCCEEDED
    assert world.heard() == ["task.queued", "task.running", "task.succeeded"]
    world.silence(hours=100)
    await world.reconcile()
    assert len(world.asked) == 3, "an ended task is never asked about"


@pytest.mark.parametrize("order", list(permutations(("queued", "running", "succeeded"))), ids="-".join)
async def test_callbacks_in_any_order_end_in_the_same_state(world: World, order: tuple[str, ...]) -> None:
    task = await world.submit()
    for status in (*order, *order):
        assert await world.callback(status) == 200
    ended = await world.task(task.id)
    assert ended.state is State.SUCCEEDED
    steps = await world.rows("SELECT sequence FROM event WHERE sequence IS NOT NULL ORDER BY sequence")
    assert [s.sequence for s in steps] == list(range(1, ended.sequence + 1))


async def test_the_first_ending_stands_and_a_second_one_alerts_once(world: World) -> None:
    await world.subscribe(events=["task.*", "callback.conflict"])
    task = await world.submit()
    await world.callback("failed")
    for _ in range(3):
        assert await world.callback("succeeded") == 200
    await world.deliver()
    assert (await world.task(task.id)).state is State.FAILED
    assert world.heard().count("callback.conflict") == 1


async def test_a_callback_that_overtakes_the_answer_to_the_submit_is_adopted(world: World) -> None:
    world.on_create = ["accept and time out"]
    placed = await world.order()
    await world.send()
    task = await world.task(placed.task.id)
    assert (task.state, task.reason) == (State.CREATED, "unknown_outcome")
    assert await world.callback("running") == 200
    healed = await world.task(task.id)
    assert (healed.state, healed.remote_id) == (State.RUNNING, "cgt-1")
    assert world.creates == 1


async def test_two_remote_ids_for_one_submission_are_a_conflict(world: World) -> None:
    await world.subscribe(events=["*"])
    task = await world.submit()
    job = world.job(task)
    body = orjson.dumps(job.as_ark("succeeded", id="cgt-another"))
    assert await world.post_callback(job.callback_url, body) == 200
    await world.deliver()
    assert (await world.task(task.id)).state is State.QUEUED
    assert "callback.conflict" in world.heard()


async def test_an_unknown_status_word_changes_nothing_and_alerts_once_per_word(world: World) -> None:
    await world.subscribe(events=["*"])
    first, second = await world.submit("one"), await world.submit("two")
    for task in (first, second, first):
        assert await world.callback("levitating", world.job(task)) == 200
    await world.deliver()
    assert (await world.task(first.id)).state is State.QUEUED
    assert world.heard().count("provider.unknown_status") == 1


async def test_an_unreadable_callback_is_kept_and_makes_us_ask_at_once(world: World) -> None:
    task = await world.submit()
    world.job(task).status = "succeeded"
    assert await world.post_callback(world.job(task).callback_url, b"\x00 not json") == 200
    kept = await world.rows("SELECT verdict, body FROM receipt")
    assert [(k.verdict, bytes(k.body)) for k in kept] == [("unreadable", b"\x00 not json")]
    await world.reconcile()
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_two_hundred_callbacks_at_once_with_one_broken_among_them(world: World) -> None:
    tasks = [await world.submit(f"number {i}") for i in range(200)]
    bodies = [(world.job(t).callback_url, orjson.dumps(world.job(t).as_ark("running"))) for t in tasks]
    bodies[77] = (bodies[77][0], b"{broken")
    answers = await asyncio.gather(*(world.post_callback(url, body) for url, body in bodies))
    assert set(answers) == {200}
    verdicts = {r.verdict: r.n for r in await world.rows("SELECT verdict, count(*) AS n FROM receipt GROUP BY verdict")}
    assert verdicts == {"advance": 199, "unreadable": 1}


async def test_a_storm_of_callbacks_yields_one_delivery_per_transition_and_bounded_receipts(world: World) -> None:
    await world.subscribe()
    task = await world.submit()
    job = world.job(task)
    storm = ["running", "succeeded", "running", "queued", "succeeded"] * 100
    await asyncio.gather(*(world.post_callback(job.callback_url, orjson.dumps(job.as_ark(s))) for s in storm))
    await world.deliver()
    told = world.heard()
    assert sorted(set(told)) == sorted(told)
    assert told[-1] == "task.succeeded"
    [kept] = await world.rows("SELECT count(*) AS n FROM receipt")
    assert kept.n <= 200 + (await world.task(task.id)).sequence


async def test_a_provider_that_forgets_is_believed_only_after_three_times_and_ten_minutes(world: World) -> None:
    await world.subscribe()
    task = await world.submit()
    job = world.jobs.pop("cgt-1")
    for _ in range(2):
        world.silence(minutes=30)
        await world.reconcile()
        assert (await world.task(task.id)).state is State.QUEUED
    world.silence(minutes=60)
    await world.reconcile()
    lost = await world.task(task.id)
    assert lost.state is State.LOST
    world.jobs["cgt-1"] = job
    assert await world.callback("succeeded", job) == 200, "late news still ends it"
    await world.deliver()
    assert world.heard()[-2:] == ["task.lost", "task.succeeded"]


async def test_a_provider_that_answers_500_for_a_week_fails_nothing(world: World) -> None:
    task = await world.submit()
    world.on_query = [httpx.Response(500, text="oops")] * 10_000
    for _ in range(7 * 24):
        world.silence(hours=1)
        await world.reconcile()
        if (await world.task(task.id)).state is State.LOST:
            break
    else:
        world.silence(hours=2)
        await world.reconcile()
    lost = await world.task(task.id)
    assert (lost.state, lost.reason) == (State.LOST, "silent_past_deadline")
    assert lost.polls < 250, "and it is not hammered"


async def test_an_unreadable_callback_is_not_forgotten_while_a_question_is_under_way(world: World) -> None:
    task = await world.submit()
    job = world.job(task)
    job.status = "running"
    await world.post_callback(job.callback_url, b"<html>")
    meanwhile = job.as_ark()

    async def wire(_: httpx.Request) -> httpx.Response:
        job.status = "succeeded"
        await world.post_callback(job.callback_url, b"<html>")  # the ending, broken too
        return httpx.Response(200, json=meanwhile)

    transport = world.parts.transport
    assert isinstance(transport, httpx.MockTransport)
    usual, transport.handler = transport.handler, wire
    await world.reconcile()
    transport.handler = usual
    world.silence(seconds=2)
    await world.reconcile()
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_an_older_word_after_an_unreadable_callback_does_not_put_off_the_question(world: World) -> None:
    task = await world.submit()
    job = world.job(task)
    assert await world.post_callback(job.callback_url, b"<html>") == 200
    assert await world.callback("running") == 200
    job.status = "succeeded"
    await world.reconcile()
    assert (await world.task(task.id)).state is State.SUCCEEDED


async def test_after_a_restart_with_the_clock_set_back_no_row_gets_the_name_of_another(world: World) -> None:
    """Receipts, the newest rows here: a name that is used already is refused, and the callback with it."""
    await world.submit()
    for _ in range(2):
        assert [await world.callback("queued") for _ in range(20)] == [200] * 20
        world.silence(seconds=-20)
        await world.crash()
    assert (await world.rows("SELECT count(*) AS n FROM receipt"))[0].n == 40
