"""`POST /v1/tasks`: what is taken, what is refused and how clearly, and what a key promises about repeating."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from service.domain import ids
from service.web import answers, endpoints
from service.web import tasks as endpoint_file
from tests.web.conftest import ORDER, is_a_problem, ordered
from tests.world import PRO, Engine, World

pytestmark = pytest.mark.anyio


async def count(world: World, table: str = "task") -> int:
    return int((await world.rows(f"SELECT count(*) AS n FROM {table}"))[0].n)


async def test_a_good_order_is_created_and_shows_the_providers_word(world: World) -> None:
    answer = await ordered(world, metadata={"shot": "12"}, duration=5)
    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["location"] == task["url"] == f"https://callsheet.test/v1/tasks/{task['id']}"
    assert answer.headers["etag"].startswith('"')
    assert (task["object"], task["state"], task["sequence"], task["provider"], task["remote_id"]) == (
        "task",
        "queued",
        1,
        "ark",
        "cgt-1",
    )
    assert task["order"] == ORDER | {"duration": 5, "metadata": {"shot": "12"}}
    assert task["metadata"] == {"shot": "12"}
    assert (task["result"], task["error"], task["ended_at"]) == (None, None, None)
    assert task["usage"]["estimated_tokens"] > 0
    shown = await world.api("GET", f"/v1/tasks/{task['id']}")
    assert shown.json() == task


async def test_a_refused_order_is_a_task_that_failed_with_the_providers_reason(world: World) -> None:
    world.on_create = [httpx.Response(400, json={"error": {"code": "InputTextSensitiveContentDetected", "message": "no"}})]
    answer = await ordered(world)
    assert (answer.status_code, answer.json()["state"]) == (201, "failed")
    error = answer.json()["error"]
    assert (error["code"], error["category"]) == ("InputTextSensitiveContentDetected", "input_moderation")
    assert set(error) == {"code", "message", "category", "retryable", "billed", "suggestion"}


async def test_an_order_nobody_knows_the_outcome_of_is_shown_as_it_stands(world: World) -> None:
    world.on_create = ["accept and time out"]
    answer = await ordered(world)
    assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (201, "created", "unknown_outcome")


async def test_a_dry_run_checks_and_estimates_and_places_nothing(world: World) -> None:
    answer = await world.api("POST", "/v1/tasks?dry_run=true", ORDER)
    assert answer.status_code == 200
    assert (answer.json()["object"], answer.json()["valid"], answer.json()["provider"]) == ("dry_run", True, "ark")
    assert answer.json()["estimate"]["tokens"] > 0
    is_a_problem(await world.api("POST", "/v1/tasks?dry_run=true", ORDER | {"duration": 10_000}), 422, "invalid")
    assert (await count(world), world.creates) == (0, 0)


async def test_the_answer_may_wait_for_the_end(world: World) -> None:
    async def make() -> None:
        while not world.jobs:
            await world.send()
            await asyncio.sleep(0)
        await world.callback("succeeded")

    answer, _ = await asyncio.gather(world.api("POST", "/v1/tasks", ORDER, Prefer="respond-async, wait=30"), make())
    assert (answer.status_code, answer.json()["state"]) == (201, "succeeded")
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.json()["result"]["video_url"] == "https://videos.test/cgt-1.mp4"


async def test_nobody_waits_longer_than_he_asked_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_file, "SLICE_S", 0.01)
    call = asyncio.create_task(world.api("POST", "/v1/tasks", ORDER, Prefer="wait=3600"))
    await asyncio.wait({call}, timeout=0.1)
    assert not call.done()
    world.silence(seconds=60)
    answer = await call
    assert (answer.status_code, answer.json()["state"]) == (201, "created")
    assert answer.headers["preference-applied"] == "wait=60"


# --- what is refused ---

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a field nobody knows": ({"promt": "a cat"}, "promt"),
    "a field nobody knows, deep inside": (
        {"prompt": None, "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://p.test/a", "size": 1}}]},
        "content[1].image_url.size",
    ),
    "a number as text": ({"duration": "5"}, "duration"),
    "a truth as a number": ({"watermark": 1}, "watermark"),
    "half a second": ({"duration": 5.5}, "duration"),
    "a number no database holds": ({"seed": 2**60}, "seed"),
    "a list as the model": ({"model": ["x"]}, "model"),
    "no model": ({"model": None}, "model"),
    "an empty prompt": ({"prompt": ""}, "prompt"),
    "an endless prompt": ({"prompt": "x" * 100_001}, "prompt"),
    "a NUL in the prompt": ({"prompt": "a\x00b"}, "prompt"),
    "a NUL in the metadata": ({"metadata": {"a": "\x00"}}, "metadata.a"),
    "a label with a space": ({"metadata": {"a b": "c"}}, "metadata.a b"),
    "a number in the metadata": ({"metadata": {"a": 1}}, "metadata.a"),
    "twenty-one labels": ({"metadata": {f"l{i}": "x" for i in range(21)}}, "metadata"),
    "a role nobody plays": ({"content": [{"type": "image_url", "image_url": {"url": "https://p.test/a"}, "role": "hero"}]}, "content[0].role"),
    "a kind of content nobody knows": ({"content": [{"type": "smell", "text": "x"}]}, "content[0].type"),
    "a provider that is not here": ({"provider": "apiyi"}, "provider"),
    "a callback to a private place": ({"callback_url": "ftp://hook.test/"}, "callback_url"),
    "a resolution nobody makes": ({"resolution": "13p"}, "resolution"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_named_by_its_path(world: World, name: str) -> None:
    changes, field = WRONG[name]
    body = {k: v for k, v in (ORDER | changes).items() if v is not None}
    errors = is_a_problem(await world.api("POST", "/v1/tasks", body), 422, "invalid")
    named = [e["field"] for e in errors]
    assert any(n == field or n.startswith(field) for n in named), named
    assert all(e["message"] for e in errors)
    assert (await count(world), world.creates) == (0, 0)


async def test_everything_that_is_wrong_is_named_at_once(world: World) -> None:
    errors = is_a_problem(
        await world.api("POST", "/v1/tasks", ORDER | {"promt": 1, "duration": "x", "seed": "y"}), 422, "invalid"
    )
    assert {e["field"] for e in errors} >= {"promt", "duration", "seed"}
    assert next(e["message"] for e in errors if e["field"] == "promt") == "is not a known field"


NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"model":',
    "not a number": b'{"model":NaN}',
    "two": b"{}{}",
    "no UTF-8": b'{"model":"\xff"}',
    "half a pair": b'{"model":"m","prompt":"\\ud800"}',
    "deep": b"[" * 100_000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "a word": b'"model"',
    "null": b"null",
}


@pytest.mark.parametrize("name", NO_JSON)
async def test_a_body_that_is_no_object_of_json_is_refused_clearly(world: World, name: str) -> None:
    headers = {"Authorization": f"Bearer {world.key}"}
    errors = is_a_problem(await world.http.post("/v1/tasks", content=NO_JSON[name], headers=headers), 422, "invalid")
    assert errors[0]["field"] == "body"


async def test_bodies_over_their_limits_are_too_large(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Authorization": f"Bearer {world.key}"}

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 64 * 1024

    for content in (b" " * (endpoints.JSON_LIMIT + 1), pieces()):
        answer = await world.http.post("/v1/subscriptions", content=content, headers=headers)
        is_a_problem(answer, 413, "too-large")
        assert answer.headers["connection"] == "close"
    named = headers | {"Content-Length": str(endpoint_file.ORDER_LIMIT + 1)}
    is_a_problem(await world.http.post("/v1/tasks", content=b"{}", headers=named), 413, "too-large")


async def test_a_body_of_countless_fields_is_refused_before_it_is_read(world: World) -> None:
    fields = [b'"k%d":1' % n for n in range(endpoints.PARTS_LIMIT + 2)]
    headers = {"Authorization": f"Bearer {world.key}"}
    answer = await world.http.post("/v1/tasks", content=b"{" + b",".join(fields) + b"}", headers=headers)
    assert is_a_problem(answer, 422, "invalid") == [{"field": "body", "message": "holds more than 50,000 commas"}]


async def test_countless_faults_are_counted_and_not_all_named(world: World) -> None:
    order = {"model": PRO, "prompt": "a cat"} | {f"k{n}": 1 for n in range(2_000)}
    errors = (await world.api("POST", "/v1/tasks", json=order)).json()["errors"]
    assert len(errors) == answers.FAULTS_LIMIT + 1
    assert errors[0] == {"field": "k0", "message": "is not a known field"}
    assert errors[-1] == {"field": "body", "message": "and 1,950 faults more"}


async def test_a_body_that_does_not_arrive_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "BODY_S", 0.05)

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    headers = {"Authorization": f"Bearer {world.key}"}
    is_a_problem(await world.http.post("/v1/tasks", content=dripping(), headers=headers), 408, "too-slow")


async def test_an_order_with_a_picture_inside_is_placed_whole_and_shown_short(world: World) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 50_000
    item = {"type": "image_url", "image_url": {"url": picture}, "role": "first_frame"}
    answer = await ordered(world, content=[item])
    assert answer.status_code == 201, answer.text
    assert len(answer.content) < 5_000
    assert picture in orjson.dumps(world.jobs["cgt-1"].body).decode()


# --- repeating ---


async def test_the_same_key_and_body_are_the_same_task(world: World) -> None:
    first = await ordered(world, headers={"Idempotency-Key": "reel-7"})
    again = await ordered(world, headers={"Idempotency-Key": "reel-7"})
    assert again.json() == first.json()
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert "idempotent-replayed" not in first.headers
    assert (await count(world), world.creates) == (1, 1)


async def test_the_order_of_fields_makes_no_other_body(world: World) -> None:
    first = await ordered(world, headers={"Idempotency-Key": "k"}, duration=5)
    headers = {"Authorization": f"Bearer {world.key}", "Idempotency-Key": "k", "Prefer": "wait=0"}
    turned = orjson.dumps(dict(reversed((ORDER | {"duration": 5}).items())))
    again = await world.http.post("/v1/tasks", content=turned, headers=headers)
    assert again.json()["id"] == first.json()["id"]


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    await ordered(world, headers={"Idempotency-Key": "reel-7"})
    is_a_problem(await ordered(world, headers={"Idempotency-Key": "reel-7"}, prompt="else"), 422, "idempotency-key-reused")
    assert (await count(world), world.creates) == (1, 1)


async def test_twenty_callers_with_one_key_place_one_job(world: World) -> None:
    answers = await asyncio.gather(*(ordered(world, headers={"Idempotency-Key": "k"}) for _ in range(20)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert [a.headers.get("idempotent-replayed") for a in answers].count("true") == 19
    assert (await count(world), world.creates) == (1, 1)


async def test_two_processes_with_one_key_place_one_job(
    postgres_url: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world.engine.url != postgres_url:
        return  # SQLite has one process
    monkeypatch.setattr(endpoint_file, "SLICE_S", 0.05)  # the other process has no bell here
    async with World(Engine(postgres_url), seed=8) as other:
        for i in range(4):
            headers = {"Idempotency-Key": f"k{i}"}
            both = await asyncio.gather(*(ordered(w, headers=headers) for w in (world, other)))
            assert {a.status_code for a in both} == {201}
            assert len({a.json()["id"] for a in both}) == 1
        assert world.creates + other.creates == 4


async def test_a_key_belongs_to_one_app(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "theirs"})
    mine = await ordered(world, headers={"Idempotency-Key": "k"})
    theirs = await ordered(world, headers={"Idempotency-Key": "k", "Callsheet-App": "theirs"})
    assert mine.json()["id"] != theirs.json()["id"]
    assert "idempotent-replayed" not in theirs.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ümlaut"])
async def test_a_key_that_cannot_be_kept_is_refused(world: World, key: str) -> None:
    headers = [(b"Authorization", f"Bearer {world.key}".encode()), (b"Idempotency-Key", key.encode("latin-1"))]
    errors = is_a_problem(await world.http.post("/v1/tasks", json=ORDER, headers=headers), 422, "invalid")
    assert errors[0]["field"] == "Idempotency-Key"


async def test_a_refused_order_does_not_use_up_its_key(world: World) -> None:
    headers = {"Idempotency-Key": "k"}
    assert (await ordered(world, headers=headers, duration=10_000)).status_code == 422
    assert (await ordered(world, headers=headers)).status_code == 201


async def test_a_hundred_orders_at_once_are_a_hundred_tasks(world: World) -> None:
    answers = await asyncio.gather(
        *(world.api("POST", "/v1/tasks", ORDER | {"prompt": f"{i}"}, Prefer="wait=0") for i in range(100))
    )
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 100
    assert all(ids.decode(ids.TASK, a.json()["id"]) for a in answers)
    assert (await count(world, "submission")) <= 100
    assert {a.json()["model"] for a in answers} == {PRO}
