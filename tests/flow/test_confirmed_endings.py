"""`confirm_endings`: whoever holds a callback token may claim an ending; the provider is asked before it is believed."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from service.accounts import Desk
from service.domain import ids
from service.domain.admission import Caps
from service.domain.advance import CONFIRM_ASKS, UNCONFIRMED
from service.domain.lifecycle import State
from service.domain.patience import ASK_AGAIN_MS, DAY_MS
from service.domain.task import Task
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from tests.world import ARK, Engine, Job, World

pytestmark = pytest.mark.anyio

ENDINGS = ("succeeded", "failed", "cancelled", "expired")


def desk(confirms: bool = True) -> Desk:
    return Desk(
        Account("ark", "default", ARK, "a-provider-key-nobody-may-see"), GATEWAYS["ark"], caps=Caps(), confirms=confirms
    )


@pytest.fixture
async def wary(engine: Engine) -> AsyncIterator[World]:
    async with World(engine, desks=[desk()]) as world:
        yield world


async def claim(world: World, status: str, job: Job | None = None) -> int:
    """A callback that says so, while the provider itself knows nothing of it."""
    job = job or list(world.jobs.values())[-1]
    return await world.post_callback(job.callback_url, orjson.dumps(job.as_ark(status)))


async def verdicts(world: World) -> list[tuple[str, str]]:
    return [(r.source, r.verdict) for r in await world.rows("SELECT source, verdict FROM receipt ORDER BY id")]


async def explained(world: World, task: Task) -> str:
    code: str = (await world.api("GET", f"/v1/tasks/{ids.encode(ids.TASK, task.id)}/explain")).json()["code"]
    return code


@pytest.mark.parametrize("word", ENDINGS)
async def test_a_false_ending_ends_nothing_and_a_true_one_ends_at_once_by_the_providers_own_answer(
    wary: World, word: str
) -> None:
    await wary.subscribe()
    task = await wary.submit()
    assert await claim(wary, word) == 200
    claimed = await wary.task(task.id)
    assert (claimed.state, claimed.reason, claimed.poll_at) == (State.QUEUED, UNCONFIRMED, wary.now)
    assert await explained(wary, task) == "queued.unconfirmed"
    assert await verdicts(wary) == [("callback", "unconfirmed")], "it is kept, and what it is worth"
    assert await wary.reconcile() == 1, "asked at once, without any silence"
    assert (await wary.task(task.id)).state is State.QUEUED
    wary.job(task).status = word
    assert await claim(wary, word) == 200
    wary.silence(seconds=2)  # the account's own limit of questions
    await wary.reconcile()
    ended = await wary.task(task.id)
    assert (ended.state, ended.poll_at) == (State(word), None)
    assert ended.reason != UNCONFIRMED
    assert (await verdicts(wary))[-1] == ("poll", "advance")
    await wary.deliver()
    assert wary.heard() == ["task.queued", f"task.{word}"]


async def test_without_the_setting_a_callback_is_taken_at_its_word(world: World) -> None:
    task = await world.submit()
    await claim(world, "succeeded")
    assert (await world.task(task.id)).state is State.SUCCEEDED
    assert world.asked == []


async def test_what_is_no_ending_needs_no_confirmation(wary: World) -> None:
    task = await wary.submit()
    await wary.callback("running")
    assert (await wary.task(task.id)).state is State.RUNNING
    assert await wary.reconcile() == 0


async def test_news_that_come_between_do_not_make_the_claim_forgotten(wary: World) -> None:
    task = await wary.submit()
    await claim(wary, "succeeded")
    await claim(wary, "running")
    seen = await wary.task(task.id)
    assert (seen.state, seen.reason, seen.poll_at) == (State.RUNNING, UNCONFIRMED, wary.now)
    wary.job(task).status = "succeeded"
    await wary.reconcile()
    assert (await wary.task(task.id)).state is State.SUCCEEDED


async def test_an_answer_that_lags_behind_is_asked_for_again_soon_and_then_as_of_any_silent_task(wary: World) -> None:
    task = await wary.submit()
    await claim(wary, "succeeded")
    for _ in range(CONFIRM_ASKS - 1):
        assert await wary.reconcile() == 1
        again = await wary.task(task.id)
        assert again.reason == UNCONFIRMED
        assert again.poll_at is not None
        assert again.poll_at <= wary.now + 1.2 * ASK_AGAIN_MS
        wary.now = again.poll_at
    assert await wary.reconcile() == 1
    calm = await wary.task(task.id)
    assert (calm.state, calm.reason) == (State.QUEUED, None)
    assert calm.poll_at is not None
    assert calm.poll_at > wary.now + 2 * ASK_AGAIN_MS


async def test_a_callback_that_is_faster_than_the_answer_to_its_order_waits_for_the_provider_too(wary: World) -> None:
    wary.on_create.append("accept and time out")
    task = await wary.submit()
    job = next(iter(wary.jobs.values()))
    await claim(wary, "succeeded", job)
    found = await wary.task(task.id)
    assert (found.state, found.remote_id, found.reason) == (State.CREATED, job.id, UNCONFIRMED)
    assert await explained(wary, task) == "created.unconfirmed"
    job.status = "succeeded"
    await wary.reconcile()
    assert (await wary.task(task.id)).state is State.SUCCEEDED


async def test_a_second_other_ending_is_a_conflict_as_ever(wary: World) -> None:
    task = await wary.submit()
    wary.job(task).status = "succeeded"
    await claim(wary, "succeeded")
    await wary.reconcile()
    await claim(wary, "failed")
    assert (await wary.task(task.id)).state is State.SUCCEEDED
    assert (await verdicts(wary))[-1] == ("callback", "conflict")


async def lost(world: World) -> Task:
    task = await world.submit()
    world.silence(hours=24 * 8)
    await world.reconcile()
    found = await world.task(task.id)
    assert (found.state, found.poll_at) == (State.LOST, None)
    world.silence(seconds=2)  # the account's own limit of questions
    return found


async def fresh_claim(world: World, task: Task) -> None:
    """With a token that still opens: a lost task's own has expired by then, unless it was given up early."""
    assert task.submission_id is not None
    token = world.parts.tokens.mint("ark", task.submission_id)
    body = orjson.dumps(world.job(task).as_ark("succeeded"))
    assert await world.post_callback(f"https://callsheet.test/callbacks/ark/{token}", body) == 200


@pytest.mark.parametrize("answer", ["true", "false"])
async def test_a_lost_task_is_asked_about_once_more_and_left_alone_when_that_was_all(wary: World, answer: str) -> None:
    task = await lost(wary)
    await fresh_claim(wary, task)
    assert await explained(wary, task) == "lost.unconfirmed"
    if answer == "true":
        wary.job(task).status = "succeeded"
    assert await wary.reconcile() == 1
    found = await wary.task(task.id)
    assert (found.state, found.poll_at) == (State.SUCCEEDED if answer == "true" else State.LOST, None)


async def test_a_lost_task_whose_provider_is_silent_is_asked_for_a_day_and_no_longer(wary: World) -> None:
    task = await lost(wary)
    await fresh_claim(wary, task)
    wary.on_query = [httpx.Response(500)] * 10_000
    claimed_at, questions = wary.now, 0
    found = await wary.task(task.id)
    while found.poll_at is not None:
        wary.now = max(wary.now + 600_000, found.poll_at)
        questions += await wary.reconcile()
        found = await wary.task(task.id)
    assert found.state is State.LOST
    assert questions > 10
    assert DAY_MS <= wary.now - claimed_at < 2 * DAY_MS


async def test_who_is_confirmed_is_shown_and_no_callback_counts_as_missed(wary: World) -> None:
    [shown] = (await wary.api("GET", "/v1/providers")).json()["data"]
    assert shown["confirms_endings"] is True
    task = await wary.submit()
    wary.job(task).status = "succeeded"
    await claim(wary, "succeeded")
    await wary.reconcile()
    counted: dict[Any, int] = dict(wary.parts.metrics.ledger.take()[0])
    assert counted["ark", "default", "callbacks"] == 1
    assert ("ark", "default", "callbacks_missed") not in counted
