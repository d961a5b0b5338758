"""What was not told can be found and sent again; what is old goes by itself."""

from itertools import pairwise

import pytest
from sqlalchemy import event

from service.domain import ids
from service.domain.instant import rfc3339
from service.domain.keep import DAY_MS, Keep
from service.flow import claim, retain, work
from service.flow.recover import BATCH
from service.store import retention
from service.store.database import Tx
from service.store.tables import TABLES
from tests.flow.couriers import answers, pass_time, queued, steady
from tests.world import World

pytestmark = pytest.mark.anyio


async def finish(world: World) -> None:
    while await work.step(world.parts):
        pass


async def ended(world: World) -> None:
    """A task with something in every table."""
    await world.submit(metadata={"who": "somebody"}, callback_url="https://own.test/")
    await world.callback("succeeded")


async def counts(world: World, what: str = "state", table: str = "delivery") -> dict[str, int]:
    return {row[0]: row.n for row in await world.rows(f"SELECT {what}, count(*) AS n FROM {table} GROUP BY {what}")}


# --- recover ---


async def test_everything_that_did_not_arrive_is_sent_again_after_a_disabled_subscription_is_resumed(world: World) -> None:
    sub = await world.subscribe()
    world.on_notice["hook.test"] = list(answers(410))
    await queued(world)
    await world.deliver()
    await queued(world, 20)
    since = {"since": rfc3339(world.now - 1_000)}
    refused = await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", since)
    assert (refused.status_code, refused.json()["detail"]) == (409, "the subscription is disabled; resume it first")
    await world.api("POST", f"/v1/subscriptions/{sub.name}/resume")
    started = await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", since)
    assert started.status_code == 202
    assert started.headers["location"].endswith(f"/v1/jobs/{started.json()['id']}")
    assert (await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", since)).status_code == 409, "one at a time"
    await finish(world)
    await pass_time(world, 0.1)
    job = (await world.api("GET", f"/v1/subscriptions/{sub.name}/recover")).json()
    assert (job["state"], job["seen"], job["done"]) == ("done", 21, 21)
    assert job == (await world.api("GET", f"/v1/jobs/{job['id']}")).json()
    assert await counts(world) == {"delivered": 21}
    assert len({said.id for said in world.said}) == 21, "each under the name it always had"


async def test_fresh_news_goes_before_what_is_recovered_and_was_never_tried(world: World) -> None:
    sub = await world.subscribe()
    world.parts.courier.open = False
    await world.db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE subscription SET status = 'disabled' WHERE id = {sub.id}"))
    await queued(world, 2 * claim.CLAIM)
    await world.api("POST", f"/v1/subscriptions/{sub.name}/resume")
    await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", {"since": rfc3339(world.now - DAY_MS)})
    await finish(world)
    world.silence(seconds=1)
    await queued(world)
    [news] = await world.rows("SELECT max(id) AS id FROM delivery")
    claimed = await claim.claim(world.parts, claim.CLAIM)
    assert len(claimed) == claim.CLAIM, "the rest of the turn is theirs"
    assert news.id in {due.id for parcel in claimed for due in parcel}


async def test_a_recovery_goes_on_where_it_was_after_a_restart_and_sends_nothing_twice(world: World) -> None:
    sub = await world.subscribe(schedule=[])
    world.parts.courier.open = False
    world.on_notice["hook.test"] = list(answers(500, 9))
    await queued(world, 9)
    await world.deliver()
    await world.db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE subscription SET status = 'disabled' WHERE id = {sub.id}"))
    await queued(world, 2 * BATCH)
    await world.api("POST", f"/v1/subscriptions/{sub.name}/resume")
    await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", {"since": rfc3339(world.now - DAY_MS)})
    assert await work.step(world.parts)
    half = (await world.api("GET", f"/v1/subscriptions/{sub.name}/recover")).json()
    assert (half["state"], half["seen"]) == ("running", BATCH)
    await queued(world, 3)
    await world.crash()
    await finish(world)
    job = (await world.api("GET", f"/v1/subscriptions/{sub.name}/recover")).json()
    assert (job["state"], job["seen"], job["done"]) == ("done", 2 * BATCH + 9, 2 * BATCH + 9)
    await pass_time(world, 0.1)
    assert await counts(world) == {"delivered": 2 * BATCH + 12}
    assert len(world.said) == 9 + 2 * BATCH + 12


async def test_a_recovery_takes_only_what_happened_since_and_did_not_arrive(world: World) -> None:
    sub = await world.subscribe(schedule=[])
    world.on_notice["hook.test"] = list(answers(500, 2))
    await queued(world, 2)
    await world.deliver()
    world.silence(hours=2)
    await queued(world)
    await world.deliver()
    world.on_notice["hook.test"] = list(answers(500))
    await queued(world)
    await world.deliver()
    await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", {"since": rfc3339(world.now - 3_600_000)})
    await finish(world)
    await pass_time(world, 0.1)
    assert await counts(world) == {"abandoned": 2, "delivered": 2}
    future = {"since": rfc3339(world.now + 60_000)}
    assert (await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", future)).status_code == 422


async def test_a_recovery_stops_when_its_subscription_does(world: World) -> None:
    sub = await world.subscribe(schedule=[])
    world.on_notice["hook.test"] = list(answers(500))
    await queued(world)
    await world.deliver()
    await world.api("POST", f"/v1/subscriptions/{sub.name}/recover", {"since": rfc3339(world.now - 1_000)})
    await world.api("DELETE", f"/v1/subscriptions/{sub.name}")
    await finish(world)
    [job] = (await world.api("GET", "/v1/jobs")).json()["data"]
    assert (job["state"], job["reason"]) == ("stopped", "the subscription is gone")


async def test_what_was_never_delivered_is_listed_and_a_failed_answer_shown(world: World) -> None:
    steady(world)
    sub = await world.subscribe(schedule=[3])
    world.on_notice["hook.test"] = list(answers(500, 2))
    await queued(world)
    await pass_time(world, 1)
    await queued(world)
    await world.deliver()
    listed = (await world.api("GET", f"/v1/deliveries?state=abandoned&subscription={sub.name}")).json()["data"]
    [one] = listed
    assert [(a["number"], a["outcome"], a["status"], a["error"], a["answer"]) for a in one["attempts"]] == [
        (1, "failed", "500", "answered 500", "so it is"),
        (2, "failed", "500", "answered 500", "so it is"),
    ]


# --- retention ---


async def test_each_thing_goes_after_its_own_time_and_open_tasks_stay(world: World) -> None:
    await world.subscribe()
    still_open = await world.submit("open")
    await ended(world)
    await world.order("keyed", key="a key")
    await world.deliver()

    async def left() -> dict[str, int]:
        return {table: (await world.rows(f"SELECT count(*) AS n FROM {table}"))[0].n for table in TABLES}

    full = await left()
    assert not await retain.sweep(world.parts)
    assert await left() == full, "nothing is old"
    seen = [full]
    object.__setattr__(world.parts, "keep", Keep(tasks=50, events=40, receipts=30, attempts=20, payloads=10, keys=5))
    for _ in range(5):
        world.silence(hours=10 * 24 + 1)
        assert not await retain.sweep(world.parts)
        seen.append(await left())
    gone = [{table for table in TABLES if after[table] < before[table]} for before, after in pairwise(seen)]
    assert gone == [
        {"idempotency", "task_order"},
        {"attempt"},
        {"receipt"},
        {"event", "delivery"},
        {"task", "task_label", "submission", "subscription", "lane"},
    ]
    links = {"task_id", "event_id", "delivery_id"}
    assert set().union(*gone) == {"task", "lane"} | {name for name, table in TABLES.items() if links & set(table.c.keys())}
    assert {row.id for row in await world.rows("SELECT id FROM task WHERE state = 'queued'")} == {still_open.id}
    assert (await world.rows("SELECT count(*) AS n FROM subscription WHERE task_id IS NOT NULL"))[0].n == 0
    assert (await world.rows("SELECT count(*) AS n FROM lane"))[0].n == 1


async def test_what_is_still_to_be_told_stays_until_it_is_told_whatever_the_settings_say(world: World) -> None:
    """Whole timelines: in the simulation, seed 20262422, the last transition went before the first one."""
    object.__setattr__(world.parts, "keep", Keep(tasks=1, events=1))
    steady(world)
    await world.subscribe(schedule=[200_000], events=["task.succeeded"])
    parked = await world.subscribe("https://parked.test/", events=["task.queued"])
    await world.api("POST", f"/v1/subscriptions/{parked.name}/pause")
    world.on_notice["hook.test"] = list(answers(503))
    await ended(world)
    await world.deliver()
    assert await counts(world) == {"pending": 2, "delivered": 2}
    world.silence(hours=25)
    await retain.sweep(world.parts)
    assert await counts(world) == {"pending": 2, "delivered": 2}, "a timeline has no holes"
    assert await counts(world, "state", "task") == {"succeeded": 1}
    await pass_time(world, 40)
    assert await counts(world) == {"pending": 1, "delivered": 3}, "nobody waits for the paused one"
    await retain.sweep(world.parts)
    assert await counts(world) == await counts(world, "state", "task") == {}


async def test_an_old_delivery_that_was_sent_again_keeps_the_attempts_of_today(world: World) -> None:
    await world.subscribe()
    await queued(world)
    await world.deliver()
    [old] = await world.deliveries()
    world.silence(hours=31 * 24)
    await world.api("POST", f"/v1/deliveries/{ids.encode(ids.DELIVERY, old.id)}/resend")
    await world.deliver()
    assert not await retain.sweep(world.parts)
    assert [tuple(row) for row in await world.rows("SELECT number, at FROM attempt")] == [(2, world.now)]


async def test_a_sweep_keeps_to_its_budget_and_goes_on_later(world: World) -> None:
    await world.subscribe()
    await queued(world, 3 * retain.BATCH)
    await world.deliver()
    world.silence(hours=91 * 24)
    assert await retain.sweep(world.parts, budget_s=0), "there is more"
    assert not await retain.sweep(world.parts, budget_s=60)
    assert await counts(world, "type", "event") == {}
    assert await counts(world) == {}
    assert await counts(world, "outcome", "attempt") == {}


async def test_old_keys_go_in_one_statement_and_those_of_the_same_name_stay(world: World) -> None:
    await world.api("POST", "/v1/apps", json={"id": "film"})
    for n in range(5):
        await world.order(key=f"k{n}")
    world.silence(hours=8 * 24)
    await world.order(app="film", key="k0")
    seen: list[str] = []

    def drop(tx: Tx) -> int:
        note = lambda *given: seen.append(given[2])  # noqa: E731
        event.listen(tx.sql, "before_cursor_execute", note)
        count = retention.drop_keys(tx, tx.now - 7 * 86_400_000, 3)
        event.remove(tx.sql, "before_cursor_execute", note)
        return count

    assert [await world.db.write(drop) for _ in range(3)] == [3, 2, 0]
    assert len(seen) == 3
    assert [tuple(row) for row in await world.rows("SELECT app_id, key FROM idempotency")] == [("film", "k0")]


async def test_a_removed_subscription_goes_when_nothing_speaks_of_it_any_more(world: World) -> None:
    sub = await world.subscribe()
    await queued(world)
    await world.deliver()
    await world.api("DELETE", f"/v1/subscriptions/{sub.name}")
    world.silence(hours=89 * 24)
    await retain.sweep(world.parts)
    assert await counts(world, "status", "subscription") == {"deleted": 1}
    world.silence(hours=2 * 24)
    await retain.sweep(world.parts)
    assert await counts(world, "status", "subscription") == {}
    assert await counts(world, "id", "lane") == {}
