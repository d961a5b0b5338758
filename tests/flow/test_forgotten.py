"""What is personal goes on request, stays gone, and is in none of the tables; what is kept no more is not placed again."""

import asyncio

import httpx
import orjson
import pytest
from sqlalchemy import Boolean, Integer

from service.domain import ids
from service.domain.due import Due
from service.domain.errors import KeyReused
from service.domain.task import Task
from service.flow import deliver, retell, settle, work
from service.flow.forget import forget_task
from service.flow.settle import Settlement
from service.store import deliveries, forgetting, subscriptions
from service.store.database import Tx
from service.store.tables import TABLES
from tests.world import World

pytestmark = pytest.mark.anyio

SECRETS = ("prompt of a person", "person.example", "person's label", "videos.test", "own.test")


async def everything(world: World) -> str:
    """All that the database holds, as text."""
    kept = []
    for table in TABLES:
        for row in await world.rows(f"SELECT * FROM {table}"):
            kept += [bytes(v).decode("utf-8", "replace") if isinstance(v, bytes | memoryview) else str(v) for v in row]
    return "\n".join(kept)


async def ended(world: World, app: str = "default") -> str:
    task = await world.submit(
        "prompt of a person", metadata={"who": "person's label"}, callback_url="https://own.test/person.example", app=app
    )
    await world.callback("succeeded")
    return ids.encode(ids.TASK, task.id)


async def test_a_forgotten_task_keeps_its_skeleton_and_nothing_personal(world: World) -> None:
    await world.subscribe()
    name = await ended(world)
    await world.deliver()
    before = await everything(world)
    assert [secret for secret in SECRETS if secret not in before] == []
    shown = (await world.api("POST", f"/v1/tasks/{name}/forget")).json()
    assert (shown["state"], shown["sequence"], shown["metadata"], shown["result"]) == ("succeeded", 2, {}, None)
    assert shown["order"] == {"model": "seedance-1-0-pro-250528", "forgotten": True}
    after = await everything(world)
    assert [secret for secret in SECRETS if secret in after] == []
    timeline = (await world.api("GET", f"/v1/tasks/{name}/timeline")).json()["data"]
    assert [entry["state"] for entry in timeline if entry["type"] == "transition"] == ["queued", "succeeded"]
    for entry in (await world.api("GET", "/v1/events")).json()["data"]:
        assert entry["notice"]["data"]["task"]["forgotten"] is True


async def test_an_open_task_cannot_be_forgotten(world: World) -> None:
    task = await world.submit()
    name = ids.encode(ids.TASK, task.id)
    refused = await world.api("POST", f"/v1/tasks/{name}/forget")
    assert (refused.status_code, refused.json()["detail"]) == (409, "the task is queued; cancel it, or wait for its end")
    assert (await world.api("POST", "/v1/apps/default/forget")).status_code == 409
    assert (await world.api("POST", "/v1/apps/another/forget")).status_code == 404


async def test_a_failed_task_forgets_the_providers_message_too(world: World) -> None:
    await world.submit("prompt of a person")
    await world.callback("failed", error={"code": "InputTextSensitiveContentDetected", "message": "prompt of a person"})
    [task] = (await world.api("GET", "/v1/tasks")).json()["data"]
    shown = (await world.api("POST", f"/v1/tasks/{task['id']}/forget")).json()
    assert (shown["error"]["code"], shown["error"]["message"]) == ("InputTextSensitiveContentDetected", "")
    assert "prompt of a person" not in await everything(world)


async def test_all_tasks_of_an_app_are_forgotten_and_no_others(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "film"})
    for _ in range(3):
        await ended(world, "film")
    kept = await ended(world)
    started = (await world.api("POST", "/v1/apps/film/forget")).json()
    await world.crash()
    while await work.step(world.parts):
        pass
    job = (await world.api("GET", f"/v1/jobs/{started['id']}", callsheet_app="film")).json()
    assert (job["state"], job["done"]) == ("done", 3)
    orders = [orjson.loads(row[0]) for row in await world.rows('SELECT "order" FROM task')]
    assert sorted("prompt" in order for order in orders) == [False, False, False, True]
    assert (await world.api("GET", f"/v1/tasks/{kept}")).json()["order"]["prompt"] == "prompt of a person"


# --- what forget leaves, by table and column ---

REMOVED = {"task_order", "task_label", "lane", "subscription"}
"""Whole rows; of subscriptions, and their lanes, those that an order brought with it."""
EMPTIED = {
    "task": {"reason", "order", "metadata", "result", "error"},
    "submission": {"reason"},
    "receipt": {"body"},
    "event": {"body"},
    "attempt": {"answer", "error"},
}
KEPT = {
    "task": {"app_id", "state", "model", "provider", "account", "route", "remote_id", "flags"},
    "submission": {"app_id", "provider", "account", "base_url", "outcome", "remote_id", "aliases"},
    "receipt": {"app_id", "provider", "source", "verdict", "word"},
    "event": {"app_id", "type", "state", "previous", "source"},
    "delivery": {"app_id", "state"},
    "attempt": {"app_id", "outcome", "status"},
    "idempotency": {"app_id", "key", "digest"},  # for its days: an order that is repeated is not paid twice
}
"""The skeleton: our own words, the names of accounts and models, and what providers call the task."""
OF_NO_TASK = {"account", "api_key", "app", "era", "identity", "job", "pace", "pulse", "sample", "seen_word", "share", "tally"}


def test_of_every_column_that_can_hold_words_it_is_decided_whether_forget_leaves_it() -> None:
    """A new table, or a new column, fails here until somebody says to which of the lists it belongs."""
    assert REMOVED | set(EMPTIED) | set(KEPT) | OF_NO_TASK == set(TABLES)
    for name in set(TABLES) - REMOVED - OF_NO_TASK:
        words = {column.name for column in TABLES[name].c if not isinstance(column.type, Integer | Boolean)}
        emptied, kept = EMPTIED.get(name, set()), KEPT.get(name, set())
        assert not emptied & kept
        assert emptied | kept == words, name


async def test_whatever_those_columns_hold_nothing_of_it_is_left(world: World) -> None:
    await ended(world)
    await world.deliver()
    [task] = await world.rows("SELECT id FROM task")
    words = '{"message":"words of a person"}'

    def plant(tx: Tx) -> None:
        for table, columns in EMPTIED.items():
            kind = TABLES[table]
            values = {column: words if kind.c[column].type.python_type is str else words.encode() for column in columns}
            assert tx.sql.execute(kind.update().values(values)).rowcount > 0, table

    await world.db.write(plant)
    assert "words of a person" in await everything(world)
    await world.db.write(lambda tx: forgetting.forget(tx, [task.id]))
    assert "words of a person" not in await everything(world)
    for table in REMOVED:
        assert not await world.rows(f"SELECT 1 FROM {table}"), table


# --- what comes late ---


async def test_nothing_that_is_said_about_a_forgotten_task_is_kept(world: World) -> None:
    task = await world.submit("a private thing")
    job = world.job(task)
    await world.callback("succeeded")
    await forget_task(world.parts, "default", task.id)
    late = {"content": {"video_url": "https://videos.test/private.mp4"}}
    assert await world.callback("succeeded", job, **late) == 200
    assert await world.callback("failed", job) == 200
    bodies = await world.rows("SELECT body FROM receipt WHERE body IS NOT NULL")
    assert not bodies
    after = await world.task(task.id)
    assert (after.reason, after.result) == ("forgotten", None)


async def test_what_is_in_hand_when_its_task_is_forgotten_is_not_sent_as_it_was(world: World) -> None:
    await world.subscribe(events=["task.succeeded"])
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    assert len(world.parts.courier) == 1
    await forget_task(world.parts, "default", task.id)
    assert await world.deliver() == 0
    world.silence(minutes=2)
    assert await world.deliver() == 1
    [said] = world.said
    assert said.data["task"]["forgotten"] is True
    assert b"private" not in said.body


async def answered(world: World, status: int = 200) -> tuple[Task, Due, Settlement]:
    """A task that has ended, and its notice that was answered: nothing of that is written down yet."""
    world.on_notice["hook.test"] = [httpx.Response(status, text="I saw: a private thing")]
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    [due] = world.parts.courier.take(1)
    tried = await deliver.try_once(world.parts, world.addressees, (due,))
    assert tried.settlement is not None
    return task, due, tried.settlement


async def test_an_answer_to_what_was_on_the_wire_when_its_task_was_forgotten_is_not_kept(world: World) -> None:
    await world.subscribe(events=["task.succeeded"])
    task, _, settlement = await answered(world)
    await forget_task(world.parts, "default", task.id)
    await settle.settle(world.parts, [settlement])
    assert not await world.rows("SELECT answer FROM attempt WHERE answer IS NOT NULL")


async def test_a_look_at_what_is_in_hand_from_before_a_forget_does_not_undo_it(world: World) -> None:
    """Another process has changed something, and this one reads what it holds just as its task is forgotten here."""
    await world.subscribe(events=["task.succeeded"])
    task = await world.submit("a private thing")
    await world.callback("succeeded")
    [due] = world.parts.courier.take(1)
    await forget_task(world.parts, "default", task.id)
    world.parts.withdrawn.add([(due.id, due.fence)], world.now, world.now + 60_000)  # as it was read before
    tried = await deliver.try_once(world.parts, world.addressees, (due,))
    assert (tried.settlement, world.said) == (None, [])


@pytest.mark.parametrize("meanwhile", ["delivered", "skipped"])
async def test_a_late_answer_about_a_forgotten_task_is_not_kept_whatever_its_delivery_came_to(
    world: World, meanwhile: str
) -> None:
    await world.subscribe(events=["task.succeeded"])
    task, due, settlement = await answered(world, 500)
    if meanwhile == "delivered":
        await retell.resend(world.parts, "default", due.id)
        await world.deliver()
    else:

        def disable(tx: Tx) -> None:
            subscriptions.disable(tx, due.subscription_id, "somebody else saw a 410")
            deliveries.skip_open(tx, due.subscription_id, 10)

        await world.db.write(disable)
    assert [row.state for row in await world.deliveries()] == [meanwhile]
    await forget_task(world.parts, "default", task.id)
    await settle.settle(world.parts, [settlement])
    assert not await world.rows("SELECT answer FROM attempt WHERE answer IS NOT NULL")


async def test_an_answer_that_is_settled_while_its_task_is_forgotten_is_not_kept(world: World) -> None:
    """Whichever of the two is first; on PostgreSQL they run beside each other."""
    await world.subscribe(events=["task.succeeded"])
    for _ in range(8):
        task, _, settlement = await answered(world)
        await asyncio.gather(settle.settle(world.parts, [settlement]), forget_task(world.parts, "default", task.id))
    assert not await world.rows("SELECT answer FROM attempt WHERE answer IS NOT NULL")


async def test_a_key_whose_task_is_kept_no_more_places_nothing(world: World) -> None:
    placed = await world.order(key="old")
    await world.send()
    task = TABLES["task"]
    await world.db.write(lambda tx: tx.sql.execute(task.delete().where(task.c.id == placed.task.id)))
    with pytest.raises(KeyReused):
        await world.order(key="old")
    assert world.creates == 1
