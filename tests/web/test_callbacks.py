"""The callback door: everything strange a provider, or somebody who plays one, may send to it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from service.domain import crowd, ids
from service.domain.lifecycle import State
from service.lateness import Lateness
from service.log import Lines
from service.providers.registry import GATEWAYS
from service.signing import CallbackTokens
from service.store.postgres import async_url
from service.web import callbacks
from service.web.guard import Guard
from service.web.site import site
from service.wire import BODY_LIMIT
from tests.world import ADMIN, PRO, SIGNING, World

pytestmark = pytest.mark.anyio

OTHER_KEY = "another-key-of-thirty-two-letters"


def path_of(url: str) -> str:
    return url.removeprefix("https://callsheet.test")


async def token_of(world: World) -> tuple[str, str]:
    """The path of a living callback URL, and its token."""
    task = await world.submit()
    path = path_of(world.job(task).callback_url)
    return path, path.rpartition("/")[2]


def seen(response: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Every byte that the sender gets."""
    return response.status_code, response.headers.raw, response.content


def running(world: World) -> bytes:
    return orjson.dumps(list(world.jobs.values())[-1].as_ark("running"))


# --- tokens ---


async def test_whatever_is_wrong_with_a_token_the_answer_is_the_same_to_the_byte(world: World) -> None:
    _, token = await token_of(world)
    clock = lambda: world.now  # noqa: E731 (the world's own)
    submission, time, signature = token.split(".")
    forged = CallbackTokens([OTHER_KEY], clock).mint("ark", int(submission, 16))
    world.now -= 97 * 3_600_000
    expired = CallbackTokens(SIGNING, clock).mint("ark", int(submission, 16))
    world.now += 97 * 3_600_000
    nobodys = CallbackTokens(SIGNING, clock).mint("ark", 4_711)
    wrong = [
        f"ark/{forged}",
        f"ark/{expired}",
        f"ark/{nobodys}",
        f"apiyi/{token}",
        f"ARK/{token}",
        f"nobody/{token}",
        f"ark/{token}/",
        f"ark/{token}/more",
        f"ark/{token}=",
        f"ark/{token.upper()}",
        f"ark/{submission}.{time}.",
        f"ark/{submission}.{signature}",
        f"ark/0{token}",
        "ark/",
        "ark",
        "",
        "/" + token,
        "ark/" + "a" * 5_000,
        "ark/%00",
        "ark/%F0%9F%A6%86.a.b",
        "ark/..%2F" + token,
    ]
    answers = {path: seen(await world.http.post(f"/callbacks/{path}", content=running(world))) for path in wrong}
    assert {status for status, _, _ in answers.values()} == {404}
    assert len({orjson.dumps([a[2].decode(), str(a[1])]) for a in answers.values()}) == 1
    assert (await world.rows("SELECT count(*) AS n FROM receipt"))[0].n == 0


async def test_a_token_with_any_one_letter_changed_opens_nothing(world: World) -> None:
    _, token = await token_of(world)
    for place, letter in enumerate(token):
        other = "1" if letter == "0" else "0"
        answer = await world.http.post(f"/callbacks/ark/{token[:place]}{other}{token[place + 1 :]}", content=running(world))
        assert answer.status_code == 404, place


async def test_a_token_lives_for_the_longest_task_and_its_last_callback(world: World) -> None:
    path, _ = await token_of(world)
    world.silence(hours=72 + 8)
    assert await world.post_callback(path, running(world)) == 200
    world.silence(hours=17)
    assert await world.post_callback(path, running(world)) == 404


async def test_the_door_of_one_task_moves_no_other(world: World) -> None:
    first, second = await world.submit("one"), await world.submit("two")
    body = orjson.dumps(world.job(second).as_ark("succeeded"))
    assert await world.post_callback(world.job(first).callback_url, body) == 200
    assert (await world.task(first.id)).state is State.QUEUED
    assert (await world.task(second.id)).state is State.QUEUED


async def test_keys_are_rotated_without_losing_a_token_on_its_way(world: World) -> None:
    path, _ = await token_of(world)
    clock = lambda: world.now  # noqa: E731 (the world's own)

    async def answer(keys: list[str], path: str) -> int:
        parts = replace(world.parts, tokens=CallbackTokens(keys, clock))
        door = site(parts, Guard(parts, ADMIN), world._ready)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="https://callsheet.test") as http:
            return (await http.post(path, content=running(world))).status_code

    assert await answer([*SIGNING, OTHER_KEY], path) == 200, "the older key still opens"
    assert await answer([OTHER_KEY], path) == 404, "until it is taken away"
    fresh = CallbackTokens([*SIGNING, OTHER_KEY], clock).mint("ark", int(path.rpartition("/")[2].split(".")[0], 16))
    assert await answer([OTHER_KEY], f"/callbacks/ark/{fresh}") == 200, "the newest key signs"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_only_posts_are_taken_and_only_the_holder_of_a_token_is_told_so(world: World, method: str) -> None:
    path, token = await token_of(world)
    answer = await world.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await world.http.request(method, f"/callbacks/apiyi/{token}")).status_code == 404


# --- bodies ---


async def in_pieces(size: int, piece: int = 64 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, size, piece):
        yield b" " * min(piece, size - start)


@pytest.mark.parametrize("length", ["named", "not named"])
async def test_a_body_over_one_mebibyte_is_refused_and_nothing_is_kept(world: World, length: str) -> None:
    path, _ = await token_of(world)
    for size, status in ((BODY_LIMIT, 200), (BODY_LIMIT + 1, 413), (2 * BODY_LIMIT, 413)):
        content: Any = b" " * size if length == "named" else in_pieces(size)
        answer = await world.http.post(path, content=content)
        assert answer.status_code == status
    assert answer.headers["connection"] == "close"
    assert (await world.rows("SELECT count(*) AS n FROM receipt"))[0].n == 1


async def test_a_body_that_does_not_arrive_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = await token_of(world)
    monkeypatch.setattr(callbacks, "BODY_S", 0.05)

    async def dripping() -> AsyncIterator[bytes]:
        yield b'{"id":'
        await asyncio.Event().wait()

    answer = await world.http.post(path, content=dripping())
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert (await world.rows("SELECT count(*) AS n FROM receipt"))[0].n == 0


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_sender_that_hangs_up_in_mid_sentence_is_answered_nothing(world: World, pieces: int) -> None:
    path, _ = await token_of(world)
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"{", "more_body": True}] * (pieces - 1)
    messages.append({"type": "http.disconnect"})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await world.site({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    assert sent == []
    assert (await world.rows("SELECT count(*) AS n FROM receipt"))[0].n == 0


STRANGE: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"{",
    "a NUL": b"\x00",
    "null": b"null",
    "a number": b"1" * 5_000,
    "deep lists": b"[" * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "not a number": b'{"id":"cgt-1","status":"running","usage":{"completion_tokens":NaN}}',
    "infinity": b'{"id":"cgt-1","status":"running","updated_at":1e999}',
    "a NUL inside": b'{"id":"cgt-1","status":"run\\u0000ning"}',
    "a NUL in the id": b'{"id":"cgt-\\u00001","status":"running"}',
    "half a pair": b'{"id":"cgt-1","status":"\\ud800"}',
    "half a pair in an error": b'{"id":"cgt-1","status":"failed","error":{"code":"\\udc00","message":"\\u0000"}}',
    "keys twice": b'{"id":"cgt-1","id":"cgt-2","status":"running","status":"succeeded"}',
    "numbers beyond 64 bits": b'{"id":"cgt-1","status":"succeeded","content":{"video_url":"https://v.test/1"},'
    b'"usage":{"completion_tokens":99999999999999999999999},"seed":18446744073709551615,"updated_at":9223372036854775808}',
    "negative everything": b'{"id":"cgt-1","status":"succeeded","content":{"video_url":"https://v.test/1"},'
    b'"usage":{"completion_tokens":-1},"seed":-9223372036854775808,"updated_at":-1,"duration":-1}',
    "no UTF-8": b'{"id":"cgt-1","status":"\xff\xfe"}',
    "another alphabet": '{"id":"cgt-1","status":"running"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"id":"cgt-1","status":"running"}',
    "a zip that is none": b"\x1f\x8bnothing",
    "an address of another kind": b'{"id":"cgt-1","status":"succeeded","content":{"video_url":"javascript:alert(1)"}}',
    "an endless word": b'{"id":"cgt-1","status":"' + b"x" * 500_000 + b'"}',
    "an endless id": b'{"id":"' + b"x" * 500_000 + b'","status":"running"}',
    "a list": b'[{"id":"cgt-1","status":"running"}]',
    "wrong types": b'{"id":1,"status":{},"content":[],"usage":"","error":7}',
}


@pytest.mark.parametrize("name", STRANGE)
async def test_a_strange_body_is_kept_and_breaks_nothing(world: World, name: str) -> None:
    path, _ = await token_of(world)
    assert await world.post_callback(path, STRANGE[name]) == 200
    [kept] = await world.rows("SELECT body FROM receipt")
    assert bytes(kept.body) == STRANGE[name], "every byte as it came"
    for where in ("", "/timeline"):
        task = (await world.rows("SELECT id FROM task"))[0].id
        shown = await world.api("GET", f"/v1/tasks/{ids.encode(ids.TASK, task)}{where}")
        assert shown.status_code == 200, "and people can look at it"


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(
        ["cgt-1", "queued", "running", "succeeded", "failed", "expired", "cancelled", "\x00", "\ud800", "https://v.test/1"]
    ),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6
)
NAMES = ["id", "status", "content", "video_url", "usage", "completion_tokens", "error", "code", "message", "updated_at", "seed", "data",
         "task_id", "output", "state", "model", "duration", "result", "success", "request_id"]  # fmt: skip
nearly = st.recursive(
    leaves,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=8) | st.lists(inner, max_size=2),
    max_leaves=12,
)


def as_json(value: object) -> bytes:
    """As careless a writer as there is: NaN, lone surrogates and all."""
    return json.dumps(value, ensure_ascii=True).encode()


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    """What a provider says, with some of its fields torn out or replaced."""
    body: dict[str, Any] = {
        "id": "cgt-1",
        "status": draw(st.sampled_from(["queued", "running", "succeeded", "failed", "expired", "cancelled", "levitating"])),
        "content": {"video_url": "https://v.test/1", "last_frame_url": None},
        "usage": {"completion_tokens": 5},
        "error": {"code": "X", "message": "y"},
        "updated_at": 1_795_000_000,
        "seed": 1,
    }
    for name in draw(st.lists(st.sampled_from(sorted(body)), max_size=3)):
        body[name] = draw(values)
    return as_json(body)


@pytest.fixture
async def open_door(world: World) -> tuple[World, dict[str, str]]:
    task = await world.submit()
    assert task.submission_id is not None
    return world, {name: f"/callbacks/{name}/{world.parts.tokens.mint(name, task.submission_id)}" for name in GATEWAYS}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(st.binary(max_size=60), values.map(as_json), nearly.map(as_json), reports()),
    name=st.sampled_from(sorted(GATEWAYS)),
)
@example(body=b"\x1f\x8b\x08", name="apiyi")
async def test_no_body_at_any_gateways_door_gets_anything_but_a_clear_answer(
    open_door: tuple[World, dict[str, str]], body: bytes, name: str
) -> None:
    world, doors = open_door
    assert await world.post_callback(doors[name], body) == 200
    [row] = await world.rows("SELECT state, sequence FROM task")
    [told] = await world.rows("SELECT count(*) AS n FROM event WHERE sequence IS NOT NULL")
    assert row.state in list(State)
    assert row.sequence == told.n, "one event for each step, none for anything else"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(alphabet=st.characters(codec="utf-8"), max_size=60), body=st.binary(max_size=10))
async def test_no_address_below_the_door_opens_it(world: World, path: str, body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await world.site({"type": "http", "method": "POST", "path": f"/callbacks/{path}", "headers": []}, receive, send)
    assert sent[0]["status"] == 404


# --- our own trouble ---


async def test_what_cannot_be_stored_is_not_acknowledged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.subscribe()
    path, _ = await token_of(world)
    body = running(world)
    monkeypatch.setattr(callbacks, "STORE_S", 0.1)
    async with held(world):
        answer = await world.http.post(path, content=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    monkeypatch.setattr(callbacks, "STORE_S", 5)
    assert await world.post_callback(path, body) == 200, "the provider's repetition finds us better"
    # If the first one was stored after all, its notice was leased to a caller who had gone: it goes out when that is over.
    world.silence(seconds=61)
    await world.deliver()
    assert world.heard() == ["task.queued", "task.running"]


async def test_while_others_wait_too_long_whoever_comes_is_told_at_once_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = await token_of(world)
    body = running(world)
    monkeypatch.setattr(crowd, "STUCK_S", -1.0)  # any waiting is too long
    waiting: list[asyncio.Task[int]] = []
    async with held(world):
        while not world.db.crowded:
            waiting.append(asyncio.create_task(world.post_callback(path, body)))
            await asyncio.sleep(0)
        callback = await world.http.post(path, content=body)
        stranger = await world.http.post("/callbacks/ark/not-a-token", content=body)
        order = await world.http.post(
            "/v1/tasks", json={"model": PRO, "prompt": "a cat"}, headers={"Authorization": f"Bearer {ADMIN}"}
        )
        assert not any(task.done() for task in waiting), "and that before anybody else has an answer"
    assert (callback.status_code, callback.headers["retry-after"]) == (503, "1")
    assert stranger.status_code == 404, "whoever holds no token learns nothing of how we are"
    assert (order.status_code, order.headers["retry-after"]) == (503, "1")
    assert set(await asyncio.gather(*waiting)) == {200}, "who waited is served"
    assert await world.post_callback(path, body) == 200


async def test_a_process_that_is_late_itself_sends_newcomers_away_and_serves_whoever_only_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = await token_of(world)
    with monkeypatch.context() as slow:
        slow.setattr(Lateness, "to_a_newcomer_s", lambda _: crowd.LATE_S + 0.1)
        callback = await world.http.post(path, content=running(world))
        order = await world.api("POST", "/v1/tasks?dry_run=true", json={"model": PRO, "prompt": "a cat"})
        assert (await world.api("GET", "/v1/tasks")).status_code == 200
    assert (callback.status_code, callback.headers["retry-after"]) == (503, "1")
    assert (order.status_code, order.headers["retry-after"]) == (503, "1")
    assert len(await world.rows("SELECT id FROM task")) == 1
    assert await world.post_callback(path, running(world)) == 200


async def test_a_bug_behind_the_door_acknowledges_nothing_and_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    path, token = await token_of(world)

    def explode() -> float:
        raise ZeroDivisionError("dice")

    broken = site(replace(world.parts, random=explode), Guard(world.parts, ADMIN), world._ready)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(broken), base_url="https://callsheet.test") as http:
        answer = await http.post(path, content=running(world))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    [line] = [r for r in caplog.records if r.message == "callback.failed"]
    assert token not in Lines(False).format(line)
    assert await world.post_callback(path, running(world)) == 200, "its repetition meets what was mended meanwhile"


class held:
    """Somebody holds a lock that every write has to wait for."""

    def __init__(self, world: World) -> None:
        self._url = world.engine.url

    async def __aenter__(self) -> None:
        if self._url.startswith("sqlite"):
            self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
            self._sql = self._engine.connect()
            self._sql.execute(text("BEGIN IMMEDIATE"))
        else:
            self._async = create_async_engine(async_url(self._url))
            self._thief = await self._async.connect()
            await self._thief.execute(text("LOCK TABLE task"))

    async def __aexit__(self, *_: object) -> None:
        if self._url.startswith("sqlite"):
            self._sql.execute(text("ROLLBACK"))
            self._sql.close()
            self._engine.dispose()
        else:
            await self._thief.close()
            await self._async.dispose()


async def test_no_log_line_and_no_metric_ever_holds_a_token(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    await world.subscribe()
    path, token = await token_of(world)
    for body in (running(world), b"{", b"x" * (BODY_LIMIT + 1), orjson.dumps({"id": "cgt-1", "status": token})):
        await world.post_callback(path, body)
    await world.callback("failed", error={"code": "BadCallback", "message": f"cannot post to https://callsheet.test{path}"})
    await world.http.get(path)
    await world.http.post(f"/callbacks/apiyi/{token}")
    monkeypatch.setattr(callbacks, "STORE_S", 0.05)
    async with held(world):
        await world.post_callback(path, running(world))
    world.silence(hours=2)
    await world.reconcile()
    await world.deliver()
    # The client of this test writes the addresses that it calls into its own log.
    lines = [repr(r.__dict__) + r.getMessage() for r in caplog.records if r.name.partition(".")[0] not in ("httpx", "httpcore")]
    assert lines, "it was listened to"
    assert not [line for line in lines if token in line]
    assert token.encode() not in world.parts.metrics.text()
    assert all(token.encode() not in said.body for said in world.said), "nor does any notice"
    assert token not in (await world.api("GET", "/v1/tasks")).text
