"""What waits, who goes first, and where to: caps that a restart keeps, fair shares, failover before anything is placed."""

from collections import Counter
from typing import Any

import httpx
import pytest

from service.accounts import Desk
from service.domain import ids
from service.domain.admission import Caps
from service.domain.lifecycle import State
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from tests.world import ARK, Engine, World

pytestmark = pytest.mark.anyio

BUSY = httpx.Response(429, json={"error": {"code": "ServerOverloaded", "message": "later"}})
POOR = httpx.Response(403, json={"error": {"code": "AccountOverdueError", "message": "pay"}})


def desk(provider: str = "ark", base_url: str = ARK, name: str = "default", **caps: int) -> Desk:
    return Desk(Account(provider, name, base_url, "key"), GATEWAYS[provider], caps=Caps(**caps))


def two() -> list[Desk]:
    return [desk(), desk("byteplus", "http://b.test/api/v3")]


async def placed_at(world: World) -> Counter[str]:
    return Counter(job.host for job in world.jobs.values())


async def place_all(world: World, rounds: int = 40, seconds: float = 0) -> None:
    for _ in range(rounds):
        world.silence(seconds=seconds)
        await world.send()


async def test_no_more_is_in_flight_than_the_cap_and_the_rest_waits_its_turn(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=5)]) as world:
        tasks = [(await world.order(f"{i}")).task for i in range(12)]
        await place_all(world)
        assert len(world.jobs) == 5
        assert {(await world.task(t.id)).state for t in tasks[5:]} == {State.CREATED}
        for job in list(world.jobs.values())[:3]:
            await world.callback("succeeded", job)
        await place_all(world)
        assert [job.body["content"][0]["text"] for job in world.jobs.values()] == [f"{i}" for i in range(8)]


async def test_orders_a_minute_are_capped_and_a_restart_does_not_forget_them(engine: Engine) -> None:
    async with World(engine, desks=[desk(per_minute=4)]) as world:
        for i in range(10):
            await world.order(f"{i}")
        await place_all(world)
        assert world.creates == 4
        await world.crash()
        await place_all(world)
        assert world.creates == 4
        world.silence(seconds=61)
        await place_all(world)
        assert world.creates == 8


async def test_an_order_never_fails_because_a_provider_is_full(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=1)]) as world:
        await world.submit()
        answer = await world.api("POST", "/v1/tasks", {"model": "seedance-1-0-pro-250528", "prompt": "next"})
        assert (answer.status_code, answer.json()["state"]) == (201, "created")
        told = (await world.api("GET", f"/v1/tasks/{answer.json()['id']}/explain")).json()
        assert (told["code"], told["queue"]["place"]) == ("created.waiting", 1)
        assert told["queue"]["estimate_s"] > 0
        answer = await world.api("POST", f"/v1/tasks/{answer.json()['id']}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        await world.callback("succeeded")
        await place_all(world)
        assert world.creates == 1, "a cancelled order is never placed"


async def test_a_flood_of_one_app_does_not_hold_up_another(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=4)]) as world:
        for app, weight in (("flood", 1), ("small", 1)):
            assert (await world.api("POST", "/v1/apps", {"id": app, "weight": weight})).status_code == 201
        for i in range(30):
            await world.order(f"flood {i}", app="flood")
        for i in range(3):
            await world.order(f"small {i}", app="small")
        for _ in range(4):
            await place_all(world, 3)
            for job in list(world.jobs.values()):
                if job.status == "queued":
                    await world.callback("succeeded", job)
        placed = [job.body["content"][0]["text"].split()[0] for job in world.jobs.values()]
        assert Counter(placed[:10])["small"] == 3


async def apps_with(world: World, **weights: int) -> None:
    for app, weight in weights.items():
        assert (await world.api("POST", "/v1/apps", {"id": app, "weight": weight})).status_code == 201


async def served_one_by_one(world: World, count: int) -> str:
    """Each waits until the one before has ended; the first letters of the prompts."""
    for _ in range(count):
        await world.send()
        await world.callback("succeeded")
        world.silence(minutes=1)
    return "".join(job.body["content"][0]["text"][0] for job in world.jobs.values())


async def test_one_place_goes_round_between_apps_and_a_restart_forgets_nobodys_turn(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=1)]) as world:
        await apps_with(world, a=1, b=3, c=1)
        await world.submit("- somebody has the place")
        for i in range(20):
            for app in "abc":
                await world.order(f"{app} {i}", app=app)
        await world.callback("succeeded")
        await served_one_by_one(world, 7)
        await world.crash()
        served = await served_one_by_one(world, 13)
        assert Counter(served[1:]) == {"a": 4, "b": 12, "c": 4}, served


async def test_orders_that_nobody_can_explain_at_one_account_cost_no_turn_at_another(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=1), desk("byteplus", "http://b.test/api/v3")]) as world:
        await apps_with(world, big=1, zed=1)
        world.on_create = [httpx.ReadTimeout("?")] * 5
        for i in range(5):
            await world.order(f"lost {i}", app="zed", provider="byteplus")
        await world.send()
        await world.submit("- somebody has the place", provider="ark")
        for i in range(10):
            for app in ("big", "zed"):
                await world.order(f"{app} {i}", app=app, provider="ark")
        await world.callback("succeeded")
        assert Counter((await served_one_by_one(world, 10))[1:]) == {"b": 5, "z": 5}


async def test_priority_goes_first_within_an_app(engine: Engine) -> None:
    two_point_oh = "dreamina-seedance-2-0-260128"
    async with World(engine, desks=[desk(in_flight=1)]) as world:
        await world.submit("first")
        for prompt, priority in (("low", 0), ("high", 9), ("middle", 5)):
            await world.order(prompt, model=two_point_oh, priority=priority)
        for _ in range(3):
            await world.callback("succeeded")
            await place_all(world, 2)
        assert [job.body["content"][0]["text"] for job in world.jobs.values()] == ["first", "high", "middle", "low"]


async def test_a_newcomer_does_not_overtake_those_who_wait(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=1)]) as world:
        await world.submit("first")
        await world.order("waits")
        await world.callback("succeeded")
        await world.order("newcomer")
        await world.send()
        assert [job.body["content"][0]["text"] for job in world.jobs.values()] == ["first", "waits"]


async def test_an_order_that_nobody_took_in_time_expires(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=1)]) as world:
        await world.submit()
        waits = (await world.order("waits", execution_expires_after=3600)).task
        world.silence(minutes=61)
        await world.send()
        expired = await world.task(waits.id)
        assert (expired.state, world.creates) == (State.EXPIRED, 1)


# --- failover ---


async def test_a_dead_provider_costs_one_attempt_loses_nothing_and_is_used_again_when_it_is_back(engine: Engine) -> None:
    async with World(engine, desks=two()) as world:
        await world.subscribe(events=["provider.degraded"])
        world.down = {"ark.test"}
        tasks = [(await world.order(f"{i}")).task for i in range(20)]
        await place_all(world, 3)
        assert await placed_at(world) == {"b.test": 20}
        assert {(await world.task(t.id)).state for t in tasks} == {State.QUEUED}
        tries = [(await world.task(t.id)).tries for t in tasks]
        assert max(tries) == 2, "one attempt at the dead one, and the next goes elsewhere"
        before = len(await world.rows("SELECT id FROM submission"))
        for i in range(20):
            await world.submit(f"more {i}")
        assert len(await world.rows("SELECT id FROM submission")) == before + 20, "the dead one is not even tried"
        await world.deliver()
        assert world.heard() == ["provider.degraded"], "and somebody was told, once"
        world.down = set()
        world.silence(seconds=30)
        await world.submit("probe")
        await world.submit("after")
        assert (await placed_at(world))["ark.test"] >= 2


async def test_a_probe_that_fails_goes_on_to_the_next_provider(engine: Engine) -> None:
    async with World(engine, desks=two()) as world:
        world.down = {"ark.test"}
        for i in range(5):
            await world.order(f"{i}")
        await place_all(world, 3)
        world.silence(seconds=30)
        probe = (await world.order("probe")).task
        await place_all(world, 3)
        assert (await world.task(probe.id)).state is State.QUEUED
        health = (await world.api("GET", "/v1/providers")).json()["data"]
        assert [h["health"]["breaker"]["state"] for h in health] == ["open", "closed"]


@pytest.mark.parametrize("answer", [BUSY, POOR], ids=["busy", "poor"])
async def test_what_is_the_accounts_fault_goes_to_the_next_account_at_once(engine: Engine, answer: httpx.Response) -> None:
    async with World(engine, desks=two()) as world:
        world.on_create = [answer]
        placed = await world.order()
        await place_all(world, 2)
        assert (await world.task(placed.task.id)).provider == "byteplus"


async def test_a_refused_order_is_not_offered_elsewhere(engine: Engine) -> None:
    async with World(engine, desks=two()) as world:
        world.on_create = [httpx.Response(400, json={"error": {"code": "InvalidParameter", "message": "no"}})]
        assert (await world.submit()).state is State.FAILED
        await place_all(world, 3, 5)
        assert world.creates == 1


async def test_an_unknown_outcome_is_not_offered_elsewhere(engine: Engine) -> None:
    async with World(engine, desks=two()) as world:
        world.on_create = [httpx.ReadTimeout("?")]
        await world.submit()
        await place_all(world, 20, 5)
        assert world.creates == 1


async def test_a_busy_provider_is_asked_again_when_it_said(world: World) -> None:
    world.on_create = [
        httpx.Response(429, headers={"Retry-After": "30"}, json={"error": {"code": "ServerOverloaded", "message": "x"}})
    ]
    task = await world.submit()
    assert task.reason == "provider_busy"
    world.silence(seconds=29)
    await world.send()
    assert world.creates == 1
    world.silence(seconds=8)
    await world.send()
    assert (await world.task(task.id)).state is State.QUEUED


BAD_KEY = httpx.Response(401, json={"error": {"code": "AuthenticationError", "message": "the API key is invalid"}})
WORDLESS = httpx.Response(403)
NOT_OPEN = httpx.Response(404, json={"error": {"code": "ModelNotOpen", "message": "open it first"}})
TRIAL = httpx.Response(429, json={"error": {"code": "SetLimitExceeded", "message": "the limit of this model"}})


@pytest.mark.parametrize("answer", [BAD_KEY, WORDLESS, POOR], ids=["key", "wordless", "poor"])
@pytest.mark.parametrize("accounts", [1, 2])
async def test_an_account_that_is_refused_is_left_alone_probed_and_used_again(
    engine: Engine, accounts: int, answer: httpx.Response
) -> None:
    async with World(engine, desks=two()[:accounts]) as world:
        await world.subscribe(events=["provider.degraded"])
        refused: list[str] = []

        def refuses(request: httpx.Request) -> httpx.Response:
            refused.append(request.method)
            return answer

        world.hosts["ark.test"] = refuses
        for i in range(6):
            await world.order(f"{i}")
            await world.send()
        await place_all(world, 3)
        assert len(refused) == 3, "three in a row, and nobody tries the next"
        health = (await world.api("GET", "/v1/providers")).json()["data"][0]["health"]
        assert (health["breaker"]["state"], health["rejected"]) == ("open", 3)
        await world.deliver()
        assert world.heard() == ["provider.degraded"]
        world.silence(seconds=6)
        await world.submit("probe")
        await place_all(world, 2)
        assert len(refused) == 4
        del world.hosts["ark.test"]
        world.silence(seconds=15)
        await world.submit("another probe")
        await place_all(world, 2)
        assert (await placed_at(world))["ark.test"] >= 1
        health = (await world.api("GET", "/v1/providers")).json()["data"][0]["health"]
        assert health["breaker"]["state"] == "closed"
        await world.deliver()
        assert world.heard() == ["provider.degraded"], "once"


@pytest.mark.parametrize("answer", [NOT_OPEN, TRIAL], ids=["not open", "trial"])
async def test_a_model_that_is_not_open_for_an_account_does_not_close_it_for_the_others(
    engine: Engine, answer: httpx.Response
) -> None:
    async with World(engine, desks=two()) as world:
        for i in range(6):
            world.on_create = [answer]
            await world.order(f"{i}")
            await place_all(world, 2)
        assert await placed_at(world) == {"b.test": 6}
        await world.submit("of a model that is open")
        assert await placed_at(world) == {"b.test": 6, "ark.test": 1}


async def test_a_probe_that_is_refused_for_its_model_leaves_the_way_to_the_next_one(world: World) -> None:
    world.down = {"ark.test"}
    for i in range(3):
        await world.order(f"{i}")
    await world.send_together()
    world.down = set()
    world.silence(seconds=7)
    world.on_create = [NOT_OPEN]
    await world.send()
    await world.send()
    await place_all(world, 3)
    assert len(world.jobs) == 2, "it was the order's own fault, and the second probe opens the way"


async def test_a_pinned_order_waits_for_its_provider(engine: Engine) -> None:
    async with World(engine, desks=two()) as world:
        world.down = {"ark.test"}
        task = (await world.order(provider="ark")).task
        await place_all(world, 10, 10)
        assert ((await world.task(task.id)).state, world.jobs) == (State.CREATED, {})
        world.down = set()
        await place_all(world, 10, 60)
        assert await placed_at(world) == {"ark.test": 1}


async def test_several_accounts_of_one_gateway_share_the_load(engine: Engine) -> None:
    desks = [desk(name="one", in_flight=2), desk(name="two", base_url="http://b.test/api/v3", in_flight=2)]
    async with World(engine, desks=desks) as world:
        for i in range(6):
            await world.order(f"{i}")
        await place_all(world, 3)
        assert await placed_at(world) == {"ark.test": 2, "b.test": 2}


async def test_orders_whose_account_is_gone_from_the_configuration_go_to_the_others(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=1)]) as world:
        await world.submit("first")
        waits = (await world.order("waits")).task
        world.desks = [desk("byteplus", "http://b.test/api/v3")]
        await world.crash()
        await place_all(world, 3)
        assert (await world.task(waits.id)).provider == "byteplus"


async def explained(world: World, task_id: int, app: str = "default") -> Any:
    return (await world.api("GET", f"/v1/tasks/{ids.encode(ids.TASK, task_id)}/explain", Callsheet_App=app)).json()


async def test_what_waits_for_a_full_account_names_the_orders_that_hold_it_and_promises_no_time(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=2)]) as world:
        await apps_with(world, other=1)
        world.on_create = [httpx.ReadTimeout("?")] * 2
        lost, foreign = await world.order("lost"), await world.order("lost too", app="other")
        await world.send()
        waits = await world.order("waits")
        told = await explained(world, waits.task.id)
        assert (told["code"], told["next_at"], told["queue"]["estimate_s"]) == ("created.waiting", None, None)
        assert f"{ids.encode(ids.TASK, lost.task.id)}; 1 of other apps" in told["why"]
        assert ids.encode(ids.TASK, foreign.task.id) not in str(told), "another app's orders have no names here"


async def test_an_account_that_has_another_name_now_is_said_to_be_gone_and_nobody_counts_as_asked(engine: Engine) -> None:
    async with World(engine, desks=[desk(in_flight=2)]) as world:
        placed = await world.submit()
        world.on_create = [httpx.ReadTimeout("?")]
        lost = await world.submit("lost")
        waits = (await world.order("waits")).task
        world.desks = [desk(name="renamed")]
        await world.crash()
        assert (await explained(world, waits.id))["code"] == "created.due", "another one may have it"
        told = await explained(world, lost.id)
        assert (told["code"], "(default) is not configured" in told["why"]) == ("created.orphaned", True)
        for _ in range(20):
            world.silence(minutes=10)
            await world.reconcile()
        assert (world.asked, world.listed, (await world.task(placed.id)).polls) == ([], [], 0)
        assert "(default) is not configured" in (await explained(world, placed.id))["why"]


async def test_a_changed_address_is_never_asked_about_what_was_placed_at_the_old_one(world: World) -> None:
    task = await world.submit()
    world.desks = [desk(base_url="http://b.test/api/v3")]
    await world.crash()
    world.silence(minutes=30)
    await world.reconcile()
    assert (world.asked, world.listed) == ([], [])
    assert (await world.task(task.id)).state is State.QUEUED
    name = ids.encode(ids.TASK, task.id)
    assert (await world.api("GET", f"/v1/tasks/{name}/explain")).json()["code"] == "queued.orphaned"


async def test_the_health_of_a_provider_counts_what_happened(engine: Engine) -> None:
    async with World(engine, desks=[desk()]) as world:
        answers: list[Any] = [
            "accept",
            BUSY,
            httpx.ReadTimeout("?"),
            httpx.Response(400, json={"error": {"code": "InvalidParameter"}}),
        ]
        for i, answer in enumerate(answers):
            world.on_create = [answer]
            await world.submit(f"{i}")
        world.silence(minutes=6)
        world.jobs["cgt-1"].status = "running"
        await world.reconcile()
        await world.callback("succeeded", world.jobs["cgt-1"])
        [row] = (await world.api("GET", "/v1/providers")).json()["data"]
        health = row["health"]
        assert {k: health[k] for k in ("accepted", "busy", "unknown", "rejected", "in_flight")} == {
            "accepted": 1,
            "busy": 1,
            "unknown": 1,
            "rejected": 1,
            "in_flight": 1,
        }
        assert (health["callbacks"], health["callback_loss_percent"], health["polls_spent"]) == (1, 50.0, 1)
        assert health["polls_saved"] > 30
        metrics = (await world.api("GET", "/metrics")).text
        assert 'callsheet_account_events_total{account="default",provider="ark",what="callbacks_missed"} 1.0' in metrics


async def test_orders_wait_for_a_full_account_when_the_other_one_refuses_all_of_them(engine: Engine) -> None:
    refused = {"error": {"code": "AuthenticationError", "message": "the API key is invalid"}}
    good = Desk(Account("ark", "good", ARK, "k"), GATEWAYS["ark"], caps=Caps(1, 600))
    bad = Desk(Account("ark", "bad", "http://bad.test/api/v3", "k"), GATEWAYS["ark"])
    async with World(engine, desks=[good, bad]) as world:
        world.hosts["bad.test"] = lambda _: httpx.Response(401, json=refused)
        orders = [await world.order(f"number {n}") for n in range(4)]
        for _ in range(12):
            await world.send()
            for job in list(world.jobs.values()):
                if job.status == "queued":
                    await world.callback("succeeded", job)
            world.silence(minutes=1)
        assert {str((await world.task(o.task.id)).state) for o in orders if o.task is not None} == {"succeeded"}
