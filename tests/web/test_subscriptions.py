"""Subscriptions and deliveries over HTTP: made, looked at, changed, stopped, and what became of each promise."""

from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from service.domain import ids
from tests.flow.couriers import answers
from tests.web.conftest import is_a_problem
from tests.web.test_tasks import walked
from tests.world import World

pytestmark = pytest.mark.anyio

HOOK = "https://hook.test/notices"


async def made(world: World, **fields: Any) -> dict[str, Any]:
    answer = await world.api("POST", "/v1/subscriptions", {"target": HOOK} | fields)
    assert answer.status_code == 201, answer.text
    out: dict[str, Any] = answer.json()
    return out


async def test_a_subscription_shows_its_secret_this_once(world: World) -> None:
    created = await made(world, label="edit suite", rate=5, concurrency=2, filter={"metadata": {"shot": "1"}})
    Webhook(created["secret"])
    shown = (await world.api("GET", f"/v1/subscriptions/{created['id']}")).json()
    assert shown == {k: v for k, v in created.items() if k != "secret"}
    assert (shown["object"], shown["channel"], shown["status"], shown["events"]) == (
        "subscription",
        "webhook",
        "active",
        ["task.*"],
    )
    assert (shown["label"], shown["rate"], shown["concurrency"], shown["filter"]) == (
        "edit suite", 5, 2, {"metadata": {"shot": "1"}}
    )  # fmt: skip
    [listed] = (await world.api("GET", "/v1/subscriptions")).json()["data"]
    assert listed == shown
    [row] = await world.rows("SELECT * FROM subscription")
    assert created["secret"] not in repr(tuple(row)), "it lies sealed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "target"),
        ({"target": HOOK, "channel": "pigeon"}, "channel"),
        ({"target": HOOK, "url": HOOK}, "url"),
        ({"target": "ftp://hook.test"}, "target"),
        ({"target": "no address"}, "target"),
        ({"target": 5}, "target"),
        ({"target": HOOK, "events": ["task.finished"]}, "events[0]"),
        ({"target": HOOK, "events": ["task.*", 5]}, "events[1]"),
        ({"target": HOOK, "events": "task.*"}, "events"),
        ({"target": HOOK, "rate": 0}, "rate"),
        ({"target": HOOK, "concurrency": 101}, "concurrency"),
        ({"target": HOOK, "filter": {"colour": "red"}}, "filter.colour"),
        ({"target": HOOK, "filter": {"model": "x"}}, "filter.model"),
        ({"target": HOOK, "label": "a\x00b"}, "label"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_subscription_is_named(world: World, body: dict[str, Any], field: str) -> None:
    errors = is_a_problem(await world.api("POST", "/v1/subscriptions", body), 422, "invalid")
    assert field in [e["field"] for e in errors]
    assert (await world.api("GET", "/v1/subscriptions")).json()["data"] == []


async def test_a_change_changes_what_it_names_and_nothing_else(world: World) -> None:
    created = await made(world, label="old", events=["task.failed"], rate=3)
    path = f"/v1/subscriptions/{created['id']}"
    changed = (await world.api("PATCH", path, {"label": "new", "rate": None})).json()
    before = {k: v for k, v in created.items() if k != "secret"}
    assert changed == before | {"label": "new", "rate": None}
    assert (await world.api("PATCH", path, {})).json() == changed
    is_a_problem(await world.api("PATCH", path, {"channel": "slack"}), 422, "invalid")
    for nowhere in ("nowhere", ""):
        is_a_problem(await world.api("PATCH", path, {"target": nowhere}), 422, "invalid")
    assert (await world.api("GET", path)).json() == changed


async def test_a_changed_target_gets_what_comes_from_then_on(world: World) -> None:
    created = await made(world)
    await world.submit("one")
    await world.deliver()
    await world.api("PATCH", f"/v1/subscriptions/{created['id']}", {"target": "https://moved.test/"})
    await world.submit("two")
    await world.deliver()
    assert [said.host for said in world.said] == ["hook.test", "moved.test"]


async def test_a_removed_subscription_is_gone_and_told_nothing(world: World) -> None:
    created = await made(world)
    path = f"/v1/subscriptions/{created['id']}"
    gone = await world.api("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    for method, below in (
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("POST", "/test"),
        ("POST", "/pause"),
        ("POST", "/resume"),
    ):
        is_a_problem(await world.api(method, path + below, {}), 404, "not-found")
    await world.submit()
    await world.deliver()
    assert world.said == []


async def test_a_paused_subscription_keeps_what_it_would_have_been_told(world: World) -> None:
    path = f"/v1/subscriptions/{(await made(world))['id']}"
    assert (await world.api("POST", f"{path}/pause")).json()["status"] == "paused"
    await world.submit()
    await world.deliver()
    assert world.said == []
    assert (await world.api("POST", f"{path}/resume")).json()["status"] == "active"
    await world.deliver()
    assert world.heard() == ["task.queued"]


async def test_a_test_notice_goes_the_way_of_all_others(world: World) -> None:
    created = await made(world, events=["task.failed"])
    answer = await world.api("POST", f"/v1/subscriptions/{created['id']}/test")
    assert answer.status_code == 202
    await world.deliver()
    [said] = world.said
    assert (said.type, said.id) == ("test", answer.json()["delivery"])
    kept = (await world.api("GET", f"/v1/deliveries/{said.id}")).json()
    assert (kept["state"], kept["event"], kept["task"]) == ("delivered", "test", None)


async def test_a_test_names_its_own_delivery_though_another_process_has_drawn_a_higher_name(world: World) -> None:
    created = await made(world)
    await world.submit()
    await world.deliver()
    await world.db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE delivery SET id = id + {10**12}"))
    answer = await world.api("POST", f"/v1/subscriptions/{created['id']}/test")
    shown = (await world.api("GET", f"/v1/deliveries/{answer.json()['delivery']}")).json()
    assert shown["event"] == "test"


async def test_a_disabled_subscription_is_not_paused_and_keeps_its_reason(world: World) -> None:
    path = f"/v1/subscriptions/{(await made(world))['id']}"
    world.on_notice["hook.test"] = list(answers(410))
    await world.submit()
    await world.deliver()
    reason = (await world.api("GET", path)).json()["reason"]
    refused = await world.api("POST", f"{path}/pause")
    is_a_problem(refused, 409, "conflict")
    assert reason in refused.json()["detail"]
    shown = (await world.api("GET", path)).json()
    assert (shown["status"], shown["reason"]) == ("disabled", reason)


async def test_a_test_of_a_paused_subscription_is_refused(world: World) -> None:
    path = f"/v1/subscriptions/{(await made(world))['id']}"
    await world.api("POST", f"{path}/pause")
    is_a_problem(await world.api("POST", f"{path}/test"), 409, "conflict")


async def test_a_rotation_shows_a_new_secret_and_both_sign_for_a_day(world: World) -> None:
    created = await made(world)
    rotated = (await world.api("POST", f"/v1/subscriptions/{created['id']}/rotate")).json()
    assert rotated["secret"] != created["secret"]
    await world.submit()
    await world.deliver()
    assert len(world.said[0].headers["webhook-signature"].split()) == 2
    world.silence(hours=25)
    await world.callback("running")
    await world.deliver()
    assert len(world.said[1].headers["webhook-signature"].split()) == 1


async def test_pages_of_subscriptions_walk_all_of_them(world: World) -> None:
    names = [(await made(world, label=f"{i}"))["id"] for i in range(5)]
    assert [s["id"] for s in await walked(world, "/v1/subscriptions?limit=2")] == names[::-1]


async def test_a_bad_body_for_a_verb_without_one_is_refused(world: World) -> None:
    path = f"/v1/subscriptions/{(await made(world))['id']}/pause"
    errors = is_a_problem(await world.api("POST", path, {"until": "tomorrow"}), 422, "invalid")
    assert errors[0]["field"] == "until"


# --- deliveries ---


async def test_a_delivery_shows_each_attempt_with_what_was_answered(world: World) -> None:
    await made(world)
    world.on_notice["hook.test"] = [httpx.Response(500, text="oops"), httpx.ConnectError("refused")]
    await world.submit()
    for _ in range(3):
        await world.deliver()
        world.silence(minutes=10)
    [delivery] = (await world.api("GET", "/v1/deliveries")).json()["data"]
    assert (delivery["object"], delivery["state"], delivery["event"], delivery["sequence"]) == (
        "delivery",
        "delivered",
        "task.queued",
        1,
    )
    assert [(a["number"], a["outcome"], a["status"], a["answer"]) for a in delivery["attempts"]] == [
        (1, "failed", "500", "oops"),
        (2, "unreached", None, None),
        (3, "told", None, None),
    ]
    assert all(isinstance(a["elapsed_ms"], int) for a in delivery["attempts"])
    assert (await world.api("GET", f"/v1/deliveries/{delivery['id']}")).json() == delivery
    assert [said.id for said in world.said] == [delivery["id"]] * 2, "the same name on every attempt"


async def test_deliveries_are_found_by_what_they_are_about(world: World) -> None:
    one, two = await made(world), await made(world, target="https://other.test/")
    world.on_notice["other.test"] = [httpx.Response(500)] * 9
    task = await world.submit("one")
    await world.submit("two")
    await world.deliver()

    async def found(query: str) -> int:
        return len((await world.api("GET", f"/v1/deliveries?{query}")).json()["data"])

    assert await found("") == 4
    assert await found("state=delivered") == 2
    assert await found("state=pending") == 2
    assert await found(f"subscription={one['id']}") == 2
    assert await found(f"subscription={two['id']}&state=delivered") == 0
    assert await found(f"task={ids.encode(ids.TASK, task.id)}") == 2
    assert await found("created_after=2099-01-01T00:00:00Z") == 0
    assert len(await walked(world, "/v1/deliveries?limit=1")) == 4
    is_a_problem(await world.api("GET", "/v1/deliveries?state=lost"), 422, "invalid")
    is_a_problem(await world.api("GET", "/v1/deliveries?task=nothing"), 404, "not-found")


async def test_a_notice_is_sent_again_under_its_own_name(world: World) -> None:
    created = await made(world)
    await world.submit()
    await world.deliver()
    [first] = world.said
    again = await world.api("POST", f"/v1/deliveries/{first.id}/resend")
    assert again.status_code in (200, 202)
    assert again.json()["state"] == "pending"
    await world.deliver()
    assert [(s.id, s.body) for s in world.said] == [(first.id, first.body)] * 2
    [kept] = (await world.api("GET", "/v1/deliveries")).json()["data"]
    assert [a["number"] for a in kept["attempts"]] == [1, 2]
    await world.api("POST", f"/v1/subscriptions/{created['id']}/pause")
    is_a_problem(await world.api("POST", f"/v1/deliveries/{first.id}/resend"), 409, "conflict")


@pytest.mark.parametrize(
    "path", ["/v1/deliveries/msg_0000000000001", "/v1/deliveries/nothing", "/v1/subscriptions/sub_0000000000001"]
)
async def test_what_is_not_there_is_not_found(world: World, path: str) -> None:
    is_a_problem(await world.api("GET", path), 404, "not-found")
