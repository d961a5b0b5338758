"""Nobody delays anybody: lanes, their breakers and rates, and what waits behind them."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from service.channels.base import FOLD_LIMIT
from service.domain import ids
from service.domain.instant import rfc3339
from service.domain.turn import BREAKER_FAILURES
from service.flow import claim, deliver, settle
from service.store import deliveries, journal
from service.store.database import Tx
from service.store.postgres import Postgres
from service.store.sqlite import SQLite
from service.store.tables import TABLES
from tests.flow.couriers import SLACK, answers, pass_time, queued, steady
from tests.world import Engine, World

pytestmark = pytest.mark.anyio

DOWN = "https://down.test/"


def in_order(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in TABLES[table].columns.keys())  # noqa: SIM118


async def waiting(world: World, subscription_id: int, count: int, **changes: Any) -> None:
    """So many deliveries, as if they had come before."""

    def fill(tx: Tx) -> None:
        row = {"app_id": "default", "subscription_id": subscription_id, "state": "pending", "attempts": 0, "spent": 0}
        row |= {
            "fence": 0,
            "hurried": False,
            "due_at": tx.now,
            "created_at": tx.now,
            "ended_at": None,
            "recovered": False,
        } | changes
        event = {"xact": 0, "app_id": "default", "task_id": None, "sequence": None, "type": "task.queued", "state": None}
        event |= {"previous": None, "source": "own", "at": tx.now, "body": b"{}"}
        ids = [tx.ids.new() for _ in range(count)]
        journal.add_events(tx, [in_order("event", event | {"id": i}) for i in ids])
        deliveries.add_deliveries(tx, [in_order("delivery", row | {"id": tx.ids.new(), "event_id": i}) for i in ids])

    await world.db.write(fill)


async def closed_tray(world: World) -> None:
    """Everything goes through claims, as in a crowd."""
    world.parts.courier.open = False


async def test_a_breaker_opens_lets_one_probe_through_and_closes_with_its_success(world: World) -> None:
    steady(world)
    await closed_tray(world)
    await world.subscribe()
    world.on_notice["hook.test"] = list(answers(500, 25))
    await queued(world, 25)
    await world.deliver()
    [lane] = await world.rows("SELECT * FROM lane")
    assert lane.failures == BREAKER_FAILURES, "those that were under way when it opened say nothing new"
    assert lane.held_until == world.now + 30_000
    said = len(world.said)
    world.now = lane.held_until - 1
    await queued(world, 3)
    assert await claim.claim(world.parts, 100) == [], "not even fresh ones"
    world.now = lane.held_until
    world.on_notice["hook.test"] = list(answers(500))
    await world.deliver()
    assert len(world.said) == said + 1, "one probe, whatever waits"
    [lane] = await world.rows("SELECT * FROM lane")
    assert lane.held_until - world.now == 60_000, "twice as long after a probe that failed"
    await pass_time(world, 30)
    assert {row.state for row in await world.deliveries()} == {"delivered"}
    [lane] = await world.rows("SELECT * FROM lane")
    assert (lane.failures, lane.held_until) == (0, 0)


async def test_a_dead_lane_with_a_great_backlog_costs_the_others_nothing(world: World) -> None:
    """A claim runs the same statements however many deliveries of another lane are due, and finds what is fresh."""
    await closed_tray(world)
    dead, good = await world.subscribe(DOWN), await world.subscribe()
    await queued(world)
    await world.deliver()
    await waiting(world, dead.id, 3_000)

    async def hold(until: int) -> None:
        values = {"until": until, "id": dead.id}
        text = f"UPDATE lane SET failures = 99, held_until = {values['until']}, due_at = {values['until']} WHERE id = {values['id']}"
        await world.db.write(lambda tx: tx.sql.exec_driver_sql(text))

    await hold(world.now + 3_600_000)
    few = await statements(world)
    await waiting(world, dead.id, 6_000)
    many = await statements(world)
    assert [text for text, _ in many] == [text for text, _ in few]
    assert {subscription for _, subscription in many} == {good.id}


async def statements(world: World) -> list[tuple[str, int]]:
    """What one claim runs, with whom it claimed for."""
    await queued(world)
    target = world.db.engine if isinstance(world.db, SQLite) else world.db.engine.sync_engine  # type: ignore[attr-defined]
    said: list[str] = []

    def listen(_c: Any, _cur: Any, statement: str, _parameters: Any, _ctx: Any, _many: bool) -> None:
        said.append(statement)

    event.listen(target, "before_cursor_execute", listen)
    parcels = await claim.claim(world.parts, 100)
    event.remove(target, "before_cursor_execute", listen)
    return [(text, parcels[0][0].subscription_id) for text in said]


async def test_every_statement_of_a_claim_walks_an_index_of_open_work(world: World) -> None:
    await closed_tray(world)
    sub = await world.subscribe()
    await queued(world)
    await waiting(world, sub.id, 3_000, due_at=None, state="delivered")
    await waiting(world, sub.id, 200, attempts=1)
    assert isinstance(world.db, SQLite | Postgres)
    target = world.db.engine if isinstance(world.db, SQLite) else world.db.engine.sync_engine
    if isinstance(world.db, Postgres):
        await world.db.write(lambda tx: tx.sql.exec_driver_sql("ANALYZE delivery"))
    said: list[tuple[str, Any]] = []

    def listen(_c: Any, _cur: Any, statement: str, parameters: Any, _ctx: Any, _many: bool) -> None:
        said.append((statement, parameters))

    event.listen(target, "before_cursor_execute", listen)
    await claim.claim(world.parts, 100)
    event.remove(target, "before_cursor_execute", listen)
    explain = "EXPLAIN QUERY PLAN " if isinstance(world.db, SQLite) else "EXPLAIN "
    plans = []
    for statement, parameters in said:
        if "delivery" in statement and statement.lstrip().startswith("SELECT") and "event" not in statement:
            found = await world.db.read(
                lambda sql, s=statement, p=parameters: [str(r[-1]) for r in sql.exec_driver_sql(explain + s, p)]  # type: ignore[misc]
            )
            plans.append("\n".join(found))
    walks = [plan for plan in plans if "delivery_fresh" in plan and "delivery_again" in plan]
    assert len(walks) >= 2, "the heads of lanes, and what waits in them"
    assert not [plan for plan in plans if "SCAN delivery\n" in plan or "Seq Scan on delivery" in plan]


async def test_fresh_news_goes_first_although_hundreds_of_retries_are_overdue(world: World) -> None:
    await closed_tray(world)
    sub = await world.subscribe()
    await queued(world)
    await world.deliver()
    await waiting(world, sub.id, 400, attempts=3, due_at=world.now - 3_600_000)
    await world.db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE lane SET due_at = {world.now}"))
    await queued(world)
    [fresh] = await world.rows("SELECT id FROM delivery WHERE attempts = 0 AND state = 'pending'")
    claimed = await claim.claim(world.parts, 100)
    assert len(claimed) == 100
    assert fresh.id in {due.id for parcel in claimed for due in parcel}


async def test_a_rate_is_kept_over_any_second(world: World) -> None:
    await world.subscribe(rate=5)
    await queued(world, 40)
    for _ in range(24):
        await world.deliver()
        world.silence(seconds=0.5)
    assert len(world.said) == 40
    times = [said.at for said in world.said]
    assert all(sum(at <= other < at + 1_000 for other in times) <= 10 for at in times), "one second's worth of burst at most"
    assert max(times) - min(times) >= (40 - 5) / 5 * 1_000 - 500


async def test_lanes_that_are_due_take_turns(world: World) -> None:
    await closed_tray(world)
    for number in range(6):
        await world.subscribe(f"https://hook-{number}.test/")
    await queued(world, 30)
    parcels = await claim.claim(world.parts, 12)
    assert len(parcels) == 12
    assert len({parcel[0].subscription_id for parcel in parcels}) == 6


async def test_attempts_that_start_together_open_their_subscribers_address_once(world: World) -> None:
    await closed_tray(world)
    await world.subscribe()
    await queued(world, 20)
    parcels = await claim.claim(world.parts, 20)
    looks: list[str] = []
    target = world.db._reader if isinstance(world.db, SQLite) else world.db.engine.sync_engine  # type: ignore[attr-defined]

    @event.listens_for(target, "before_cursor_execute")
    def count(*given: Any) -> None:
        if "FROM subscription" in given[2]:
            looks.append(given[2])

    addressees = deliver.Addressees()
    found = await asyncio.gather(*(addressees.get(world.parts, parcel[0]) for parcel in parcels))
    world.now += deliver.TARGET_MS
    again = await asyncio.gather(*(addressees.get(world.parts, parcel[0]) for parcel in parcels))
    event.remove(target, "before_cursor_execute", count)
    assert None not in [*found, *again]
    assert len(looks) == 2, "once, and once more when it is to be looked at anew"


async def test_a_paused_subscription_keeps_everything_and_sends_it_later(world: World) -> None:
    sub = await world.subscribe()
    await queued(world, 2)
    assert (await world.api("POST", f"/v1/subscriptions/{sub.name}/pause")).json()["status"] == "paused"
    await queued(world, 3)
    await pass_time(world, 100)
    assert world.said == []
    assert (await world.api("POST", f"/v1/subscriptions/{sub.name}/resume")).json()["status"] == "active"
    await pass_time(world, 0.1)
    assert len(world.said) == 5
    assert {row.state for row in await world.deliveries()} == {"delivered"}


async def test_leases_of_a_process_that_died_are_anybodys_after_a_minute_or_at_once_where_nobody_else_is(world: World) -> None:
    alone = isinstance(world.db, SQLite)
    await world.subscribe()
    await queued(world, 3)
    await world.crash()
    await world.deliver()
    assert len(world.said) == (3 if alone else 0), "another process may hold them"
    world.silence(seconds=60)
    await world.deliver()
    assert len(world.said) == 3


async def test_a_start_cuts_no_pause_short_that_a_failure_earned(world: World) -> None:
    await world.subscribe()
    world.on_notice["hook.test"] = answers(503)
    await queued(world)
    await world.deliver()
    assert len(world.said) == 1
    await world.crash()
    await world.deliver()
    assert len(world.said) == 1


async def test_what_was_in_hand_and_not_sent_is_given_back_at_once(world: World) -> None:
    await world.subscribe()
    await world.subscribe(SLACK, "slack", events=["task.*"])
    await queued(world, 3)
    in_hand = world.parts.courier.take(10)
    folded = await claim.claim(world.parts, 10)
    await claim.release(world.parts, [*in_hand, *(due for parcel in folded for due in parcel)])
    assert await world.deliver() == 4, "three notices, and one message of three"
    assert sum(map(len, folded)) == 3


# --- when ---


async def asked_now(world: World, sub: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is answered to a test, and to sending an older notice again."""
    [oldest, *_] = await world.rows("SELECT id FROM delivery ORDER BY id")
    tested = await world.api("POST", f"/v1/subscriptions/{sub.name}/test")
    resent = await world.api("POST", f"/v1/deliveries/{ids.encode(ids.DELIVERY, oldest.id)}/resend")
    assert (tested.status_code, resent.status_code) == (202, 200)
    assert resent.json()["state"] == "pending"
    return tested.json(), resent.json()


async def test_a_test_and_a_resend_are_tried_now_where_nothing_holds_them_up(world: World) -> None:
    sub = await world.subscribe()
    await queued(world)
    await world.deliver()
    for answer in await asked_now(world, sub):
        assert (answer["due_at"], answer["reason"]) == (rfc3339(world.now), None)


async def test_a_test_and_a_resend_behind_an_open_breaker_say_when_they_are_tried(world: World) -> None:
    steady(world)
    await closed_tray(world)
    sub = await world.subscribe()
    world.on_notice["hook.test"] = list(answers(500, 20))
    await queued(world, 12)
    await world.deliver()
    for answer in await asked_now(world, sub):
        assert answer["due_at"] == rfc3339(world.now + 30_000)
        assert "failed 10 times in a row" in answer["reason"]


async def test_a_test_and_a_resend_during_a_pause_that_was_asked_for_say_when_it_ends(world: World) -> None:
    sub = await world.subscribe()
    world.on_notice["hook.test"] = list(answers(429, retry_after="30"))
    await queued(world)
    await world.deliver()
    for answer in await asked_now(world, sub):
        assert (answer["due_at"], answer["reason"]) == (rfc3339(world.now + 30_000), "its subscriber asked for a pause")


async def test_a_test_and_a_resend_beyond_a_rate_say_when_there_is_room_again(world: World) -> None:
    sub = await world.subscribe(rate=2)
    await queued(world, 2)
    await world.deliver()
    for answer in await asked_now(world, sub):
        assert answer["due_at"] == rfc3339(world.now + 500)
        assert answer["reason"] == "its subscription has used up its rate of 2 a second"


async def test_a_test_and_a_resend_to_a_chat_address_say_when_it_takes_the_next_message(world: World) -> None:
    sub = await world.subscribe(SLACK, "slack", events=["task.queued"])
    await queued(world)
    await world.deliver()
    for answer in await asked_now(world, sub):
        assert (answer["due_at"], answer["reason"]) == (rfc3339(world.now + 1_000), "its address takes one message a second")


async def test_what_waits_for_a_paused_subscription_says_so(world: World) -> None:
    sub = await world.subscribe()
    await world.api("POST", f"/v1/subscriptions/{sub.name}/pause")
    await queued(world)
    [shown] = (await world.api("GET", "/v1/deliveries")).json()["data"]
    assert (shown["state"], shown["due_at"], shown["reason"]) == ("pending", None, "its subscription is paused")


# --- chat ---


async def slack_messages(world: World, host: str = "hooks.slack.com") -> list[int]:
    return [said.at for said in world.said if said.host == host]


async def test_five_hundred_events_in_a_burst_are_at_most_one_message_a_second_and_nothing_is_left_unsaid(world: World) -> None:
    await world.subscribe(SLACK, "slack", events=["task.queued"])
    await queued(world, 500)
    for _ in range(120):
        await world.deliver()
        world.silence(seconds=0.5)
    times = await slack_messages(world)
    assert all(after - before >= 1_000 for before, after in pairwise(times))
    assert len(times) <= 500 // FOLD_LIMIT + 2
    text = "".join(said.body.decode() for said in world.said)
    assert all(f"number {n}" in text for n in range(500))
    assert {row.state for row in await world.deliveries()} == {"delivered"}


async def test_one_chat_address_written_in_other_ways_keeps_one_pace(world: World) -> None:
    for url in (SLACK, SLACK.replace("hooks", "HOOKS"), f"{SLACK}?a"):
        await world.subscribe(url, channel="slack")
    await world.subscribe(f"{SLACK}X", channel="slack")
    assert len(await world.rows("SELECT id FROM pace")) == 2


async def test_two_subscriptions_of_one_chat_address_share_its_pace(world: World) -> None:
    for event_name in ("task.queued", "task.running"):
        await world.subscribe(SLACK, "slack", events=[event_name])
    for number in range(30):
        await world.submit(f"number {number}")
        await world.callback("running")
    for _ in range(60):
        await world.deliver()
        world.silence(seconds=0.25)
    times = await slack_messages(world)
    assert all(after - before >= 1_000 for before, after in pairwise(times))
    assert {row.state for row in await world.deliveries()} == {"delivered"}


OTHER = f"{SLACK}-other"


async def test_a_message_in_the_air_when_its_address_is_changed_holds_neither_the_old_address_nor_the_new(world: World) -> None:
    sub = await world.subscribe(SLACK, "slack", events=["task.queued"])
    beside = await world.subscribe(SLACK, "slack", events=["task.queued"], label="shares the old address")
    await queued(world)
    [parcel] = await claim.claim(world.parts, 10)
    sent = await deliver.try_once(world.parts, world.addressees, parcel)
    assert sent.settlement is not None
    mine = next(each for each in (sub, beside) if each.id == parcel[0].subscription_id)
    assert (await world.api("PATCH", f"/v1/subscriptions/{mine.name}", {"target": OTHER})).status_code == 200
    await settle.settle(world.parts, [sent.settlement])
    await queued(world)
    assert await world.deliver() == 1, "the new address owes no pause for what the old one was told"
    world.silence(seconds=1)
    assert await world.deliver() == 1, "the old one owes a second, and no more"


async def test_a_message_given_back_after_its_address_was_changed_frees_the_old_one(world: World) -> None:
    for _ in range(2):
        await world.subscribe(SLACK, "slack", events=["task.queued"])
    await queued(world)
    [parcel] = await claim.claim(world.parts, 10)
    name = ids.encode(ids.SUBSCRIPTION, parcel[0].subscription_id)
    assert (await world.api("PATCH", f"/v1/subscriptions/{name}", {"target": OTHER})).status_code == 200
    await claim.release(world.parts, list(parcel))
    assert await world.deliver() == 2, "one to each"


async def test_a_message_that_comes_back_after_its_lease_frees_no_pace_that_another_holds(world: World) -> None:
    for _ in range(2):
        await world.subscribe(SLACK, "slack", events=["task.queued"])
    await queued(world)
    [late] = await claim.claim(world.parts, 10)
    sent = await deliver.try_once(world.parts, world.addressees, late)
    assert sent.settlement is not None
    world.silence(seconds=60)
    [now_held] = await claim.claim(world.parts, 10)
    await settle.settle(world.parts, [sent.settlement])
    world.silence(seconds=5)
    assert not await claim.claim(world.parts, 10), "the one that holds it has not come back"
    await claim.release(world.parts, list(now_held))
    assert len(await claim.claim(world.parts, 10)) == 1


async def test_a_chat_service_that_asks_for_a_pause_gets_it_over_a_restart(world: World) -> None:
    await world.subscribe(SLACK, "slack", events=["task.queued"])
    world.on_notice["hooks.slack.com"] = list(answers(429, retry_after="30"))
    await queued(world, 25)
    await world.deliver()
    await world.crash()
    for _ in range(59):
        world.silence(seconds=0.5)
        await world.deliver()
    assert len(await slack_messages(world)) == 1
    await pass_time(world, 0.1)
    assert {row.state for row in await world.deliveries()} == {"delivered"}
    assert len(await slack_messages(world)) <= 4


async def test_a_notice_that_spoils_every_digest_is_told_alone_in_the_end(world: World) -> None:
    """A chat service that refuses one notice would refuse all its company for ever."""
    steady(world)
    sub = await world.subscribe(SLACK, "slack", events=["task.queued"])
    wire = world._wire

    async def played(request: httpx.Request) -> httpx.Response:
        await wire(request)
        spoilt = b"number 7" in request.content
        return httpx.Response(400, text="invalid_blocks") if spoilt else httpx.Response(200)

    object.__setattr__(world.parts, "transport", httpx.MockTransport(played))
    await queued(world, 10)
    await pass_time(world, 1)
    states = await world.rows("SELECT state, count(*) AS n FROM delivery GROUP BY state ORDER BY state")
    assert [(row.state, row.n) for row in states] == [("delivered", 9), ("pending", 1)]
    assert sub.secret == ""


async def test_a_final_error_of_a_chat_service_disables_and_says_why(world: World) -> None:
    sub = await world.subscribe(SLACK, "slack", events=["task.queued"])
    world.on_notice["hooks.slack.com"] = [httpx.Response(404, text="no_service")]
    await queued(world, 3)
    await world.deliver()
    shown = (await world.api("GET", f"/v1/subscriptions/{sub.name}")).json()
    assert (shown["status"], shown["reason"]) == ("disabled", "Slack answered 404: no_service")
    assert "s3cr3t" not in str(shown)


# --- several processes ---


async def test_two_processes_tell_everything_once_while_more_is_happening(engine: Engine) -> None:
    """Lanes are looked into while others add to them: nothing may be left behind in a lane that somebody just closed."""
    if engine.url.startswith("sqlite"):
        pytest.skip("SQLite has one process")
    async with World(engine, seed=1) as one, World(engine, seed=2) as other:
        one.parts.courier.open = other.parts.courier.open = False
        for number in range(3):
            await one.subscribe(f"https://hook-{number}.test/")

        async def happen(world: World) -> None:
            for _ in range(25):
                await queued(world, 2)

        happening = asyncio.gather(happen(one), happen(other))

        async def tell(world: World) -> None:
            while not happening.done():
                await deliver.deliver_due(world.parts, world.addressees, 10)

        await asyncio.gather(happening, tell(one), tell(other))
        for world in (one, other):
            world.silence(seconds=2)
        while await one.deliver() + await other.deliver():
            pass
        assert {row.state for row in await one.deliveries()} == {"delivered"}
        told = [said.id for world in (one, other) for said in world.said]
        assert len(told) == len(set(told)) == 2 * 25 * 2 * 3
        assert one.said, "both took part"
        assert other.said
