"""Tasks as people look at them: one, many, what happened, and only what changed."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.domain import ids
from service.domain.instant import rfc3339
from service.web import tasks as endpoint_file
from tests.web.conftest import is_a_problem
from tests.world import START_MS, World

pytestmark = pytest.mark.anyio


def name(task: Any) -> str:
    return ids.encode(ids.TASK, task.id)


async def walked(world: World, path: str, **headers: str) -> list[dict[str, Any]]:
    """Every page, by the cursor in the body, which the Link has to agree with."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await world.api("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"object", "data", "next"}
        found += body["data"]
        if body["next"] is None:
            assert "link" not in answer.headers
            return found
        url, _, rel = answer.headers["link"].partition(">; ")
        assert rel == 'rel="next"'
        path = url.removeprefix("<")
        assert f"cursor={body['next']}" in urlsplit(path).query


async def test_pages_walk_everything_once_newest_first(world: World) -> None:
    made = [name(await world.submit(f"number {i}")) for i in range(7)]
    for limit in (1, 2, 3, 7, 200):
        assert [t["id"] for t in await walked(world, f"/v1/tasks?limit={limit}")] == made[::-1]


async def test_what_comes_meanwhile_disturbs_no_walk(world: World) -> None:
    made = [name(await world.submit(f"number {i}")) for i in range(4)]
    first = await world.api("GET", "/v1/tasks?limit=2")
    await world.submit("late")
    rest = await world.api("GET", f"/v1/tasks?limit=9&cursor={first.json()['next']}")
    assert [t["id"] for t in first.json()["data"] + rest.json()["data"]] == made[::-1]


async def test_filters_keep_their_place_over_pages(world: World) -> None:
    for i in range(6):
        await world.submit(f"number {i}", metadata={"shot": str(i % 2), "reel": "a b&c=d"})
    found = await walked(world, "/v1/tasks?limit=2&metadata.shot=1&metadata.reel=a%20b%26c%3Dd")
    assert [t["metadata"]["shot"] for t in found] == ["1"] * 3


async def test_filters_leave_out_what_was_not_asked_for(world: World) -> None:
    queued = await world.submit("one", metadata={"shot": "1"})
    world.silence(seconds=10)
    middle = rfc3339(world.now)
    ended = await world.submit("two", metadata={"shot": "2", "reel": "x"})
    await world.callback("succeeded")
    every = {"queued": name(queued), "ended": name(ended)}

    async def found(query: str) -> list[str]:
        data = (await world.api("GET", f"/v1/tasks?{query}")).json()["data"]
        return [k for k, v in every.items() if v in [t["id"] for t in data]]

    assert await found("state=succeeded") == ["ended"]
    assert await found("state=queued,succeeded") == ["queued", "ended"]
    assert await found(f"model={queued.model}") == ["queued", "ended"]
    assert await found("model=another") == []
    assert await found("provider=ark") == ["queued", "ended"]
    assert await found("provider=apiyi") == []
    assert await found("metadata.shot=1") == ["queued"]
    assert await found("metadata.shot=2&metadata.reel=x") == ["ended"]
    assert await found("metadata.shot=1&metadata.reel=x") == []
    assert await found(f"created_after={middle}") == ["ended"]
    assert await found(f"created_before={middle}") == ["queued"]
    assert await found(f"created_after={rfc3339(START_MS)}&created_before={middle}") == ["queued"]
    assert await found("created_after=9999-12-31T23:59:59Z") == []
    assert await found("created_before=1970-01-01T00:00:00%2B00:00") == []
    assert await found("created_before=9999-12-31T23:59:59%2B00:00") == ["queued", "ended"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=finished", "state"),
        ("stat=queued", "stat"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=task_0000000000001", "cursor"),
        ("cursor=cur_zzzzzzzzzzzzz", "cursor"),
        ("cursor=%00", "cursor"),
        ("model=a&model=b", "model"),
        ("model=%00", "model"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-11-20", "created_before"),
        ("metadata.a=%00", "metadata.a"),
        ("provider=" + "x" * 201, "provider"),
    ],
)
async def test_a_question_that_makes_no_sense_is_told_so(world: World, query: str, field: str) -> None:
    errors = is_a_problem(await world.api("GET", f"/v1/tasks?{query}"), 422, "invalid")
    assert errors[0]["field"] == field


@pytest.mark.parametrize(
    "query", ["metadata.=x", "metadata.%F0%9F%A6%86=x", "metadata.a=%F0%9F%A6%86", "metadata.%00=x", "model=%FF"]
)
async def test_a_strange_filter_finds_nothing_or_is_refused(world: World, query: str) -> None:
    assert (await world.api("GET", f"/v1/tasks?{query}")).status_code in (200, 422)


# --- one task ---


@pytest.mark.parametrize(
    "task", ["task_0000000000001", "task_", "nothing", "msg_0000000000001", "task_zzzzzzzzzzzzz", "%00", "..%2F..", "x" * 3_000]
)
async def test_what_is_not_there_is_not_found(world: World, task: str) -> None:
    for below in ("", "/timeline"):
        answer = await world.api("GET", f"/v1/tasks/{task}{below}")
        is_a_problem(answer, 404, "not-found")


async def test_who_has_seen_a_task_is_only_told_what_changed(world: World) -> None:
    path = f"/v1/tasks/{name(await world.submit())}"
    first = await world.api("GET", path)
    tag = first.headers["etag"]
    same = await world.api("GET", path, If_None_Match=f'"another", {tag}')
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await world.callback("running")
    changed = await world.api("GET", path, If_None_Match=tag)
    assert (changed.status_code, changed.json()["state"]) == (200, "running")
    assert changed.headers["etag"] != tag


async def test_a_name_at_the_provider_that_comes_without_a_state_changes_the_tag(world: World) -> None:
    world.on_create = ["accept and time out"]
    path = f"/v1/tasks/{name(await world.submit())}"
    before = await world.api("GET", path)
    assert await world.callback("napping") == 200
    after = await world.api("GET", path, If_None_Match=before.headers["etag"])
    assert (after.status_code, before.json()["remote_id"], after.json()["remote_id"]) == (200, None, "cgt-1")


async def test_a_duplicate_changes_no_tag(world: World) -> None:
    path = f"/v1/tasks/{name(await world.submit())}"
    await world.callback("running")
    tag = (await world.api("GET", path)).headers["etag"]
    world.silence(seconds=5)
    await world.callback("running")
    assert (await world.api("GET", path, If_None_Match=tag)).status_code == 304


async def test_waiting_on_a_task_answers_at_its_next_change(world: World) -> None:
    path = f"/v1/tasks/{name(await world.submit())}"
    waiters = [asyncio.create_task(world.api("GET", path, Prefer="wait=60")) for _ in range(5)]
    await asyncio.wait(waiters, timeout=0.1)
    assert not any(w.done() for w in waiters)
    await world.callback("running")
    assert [(await w).json()["state"] for w in waiters] == ["running"] * 5


async def test_waiting_on_a_task_ends_when_the_time_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_file, "SLICE_S", 0.01)
    path = f"/v1/tasks/{name(await world.submit())}"
    waiter = asyncio.create_task(world.api("GET", path, Prefer="wait=9"))
    await asyncio.wait({waiter}, timeout=0.1)
    world.silence(seconds=10)
    assert (await waiter).json()["state"] == "queued"


async def test_a_change_made_by_another_process_is_seen_while_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_file, "SLICE_S", 0.01)
    path = f"/v1/tasks/{name(await world.submit())}"
    waiter = asyncio.create_task(world.api("GET", path, Prefer="wait=9"))
    await asyncio.wait({waiter}, timeout=0.1)
    await world.db.write(lambda tx: tx.sql.exec_driver_sql("UPDATE task SET state = 'running', sequence = 2"))
    assert (await waiter).json()["state"] == "running"


async def test_nobody_waits_for_a_task_that_has_ended(world: World) -> None:
    path = f"/v1/tasks/{name(await world.submit())}"
    await world.callback("succeeded")
    answer = await asyncio.wait_for(world.api("GET", path, Prefer="wait=60"), 30)
    assert answer.json()["state"] == "succeeded"


async def test_a_success_shows_its_video_and_until_when(world: World) -> None:
    task = await world.submit()
    await world.callback("succeeded", resolution="1080p", ratio="16:9", duration=5, seed=7)
    shown = (await world.api("GET", f"/v1/tasks/{name(task)}")).json()
    assert shown["result"] == {
        "video_url": "https://videos.test/cgt-1.mp4",
        "last_frame_url": None,
        "video_expires_at": shown["result"]["video_expires_at"],
        "seed": 7,
        "resolution": "1080p",
        "ratio": "16:9",
        "duration": 5,
    }
    assert shown["usage"]["completion_tokens"] == 49_005
    assert shown["ended_at"] == rfc3339(world.now)


async def test_a_timeline_tells_everything_oldest_first(world: World) -> None:
    await world.subscribe()
    task = await world.submit()
    for status in ("running", "running", "succeeded"):
        world.silence(seconds=5)
        await world.callback(status)
        await world.deliver()
    story = (await world.api("GET", f"/v1/tasks/{name(task)}/timeline")).json()
    assert (story["object"], story["task"], story["state"]) == ("timeline", name(task), "succeeded")
    assert [e["at"] for e in story["data"]] == sorted(e["at"] for e in story["data"])
    told = [(e["type"], e.get("verdict") or e.get("outcome") or e.get("event") or "") for e in story["data"]]
    assert told[:2] == [("order", ""), ("submission", "accepted")]
    assert [v for t, v in told if t == "callback"] == ["advance", "duplicate", "advance"]
    assert [v for t, v in told if t == "transition"] == ["task.queued", "task.running", "task.succeeded"]
    assert [v for t, v in told if t == "attempt"] == ["told"] * 3


# --- the feed ---


async def test_the_feed_tells_every_transition_once_in_order(world: World) -> None:
    one, two = await world.submit("one"), await world.submit("two")
    for status in ("running", "succeeded"):
        await world.callback(status, world.job(one))
        await world.callback(status, world.job(two))
    told: list[tuple[str, str]] = []
    cursor = None
    while True:
        body = (await world.api("GET", f"/v1/events?limit=2{f'&cursor={cursor}' if cursor else ''}")).json()
        assert body["next"], "there is always a place to come back to"
        if not body["data"]:
            break
        told += [(e["task"], e["type"]) for e in body["data"]]
        assert body["data"][-1]["cursor"] == body["next"]
        assert all(e["notice"]["type"] == e["type"] for e in body["data"])
        cursor = body["next"]
    assert len(told) == len(set(told)) == 6
    for task in (one, two):
        assert [kind for t, kind in told if t == name(task)] == ["task.queued", "task.running", "task.succeeded"]
    await world.submit("three")
    assert len((await world.api("GET", f"/v1/events?cursor={cursor}")).json()["data"]) == 1


@pytest.mark.parametrize("cursor", ["abc", ".", "at_0000000000000", "at_zzzzzzzzzzzzz.at_0000000000000", "%00"])
async def test_a_place_in_the_feed_that_is_not_ours_is_refused(world: World, cursor: str) -> None:
    errors = is_a_problem(await world.api("GET", f"/v1/events?cursor={cursor}"), 422, "invalid")
    assert errors[0]["field"] == "cursor"
