"""The live feed over real sockets: everybody hears everything of its own, once and in order, or is told to come back."""

import asyncio
import random
import resource
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from service.store import journal
from service.web import feed, hub, live
from tests.until import until
from tests.web.listening import Heard, Server, happen, serving
from tests.world import World

pytestmark = pytest.mark.anyio

PATIENCE_S = 60.0


@pytest.fixture
async def server(world: World) -> AsyncIterator[Server]:
    async with asyncio.timeout(PATIENCE_S), serving(world) as server:
        yield server


async def in_order(world: World, app: str = "default") -> list[str]:
    """Every id of an app, as the database tells them."""
    rows = await world.db.read(lambda sql: journal.feed(sql, app, (0, 0), 100_000))
    return [feed.place(row.xact, row.id) for row in rows]


def named(prefix: str) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(prefix)]


async def gone(world: World) -> None:
    await until(lambda: world.site.hub.reader_count == 0)


async def test_a_thousand_readers_have_one_event_from_one_tail_and_no_task_of_their_own(world: World, server: Server) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, most) if most > 0 else 4_096, most))
    ears = [ear for _ in range(20) for ear in await asyncio.gather(*(server.ear() for _ in range(50)))]
    await happen(world, b'{"n":1}')
    heard = [await ear.event() for ear in ears]
    assert set(heard) == {Heard((await in_order(world))[0], "task.queued", b'{"n":1}')}
    assert named("live") == ["live tail", "live beats"] or named("live") == ["live beats", "live tail"]
    for ear in ears:
        ear.kill()
    await gone(world)
    await until(lambda: named("live") == [])


async def test_what_the_one_door_records_is_heard_at_once_with_the_bytes_of_the_notice(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "POLL_S", 3_600.0)  # only the bell can wake it
    ear = await server.ear()
    await world.submit("a cat\u2028on a mat\r\n\nid: at_0")
    assert await world.callback("running") == 200
    assert await world.callback("succeeded") == 200
    heard = await ear.events(3)
    assert [h.type for h in heard] == ["task.queued", "task.running", "task.succeeded"]
    page: list[dict[str, Any]] = (await world.api("GET", "/v1/events")).json()["data"]
    assert [(h.id, orjson.loads(h.data)) for h in heard] == [(entry["cursor"], entry["notice"]) for entry in page]


async def test_what_another_process_wrote_is_found_without_a_bell(world: World, server: Server) -> None:
    ear = await server.ear()
    await happen(world, b'{"n":1}')
    await ear.event()
    await happen(world, b'{"n":2}', ring=False)
    assert (await ear.event()).data == b'{"n":2}'


@pytest.mark.parametrize("seed", range(3))
async def test_killed_and_resumed_readers_miss_nothing_and_see_nothing_twice(
    world: World, server: Server, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    # Small numbers make every edge common: full pages, and readers that come back to a train that has left.
    monkeypatch.setattr(hub, "PAGE", [3, 11, 200][seed])
    monkeypatch.setattr(hub, "RECENT_LIMIT_BYTES", [300, 0, 512 * 1024][seed])
    monkeypatch.setattr(hub, "SLICE", 1)
    writers, commits, ears = 4, 25, 5
    sizes = [[chance.randint(1, 5) for _ in range(commits)] for _ in range(writers)]
    total = sum(map(sum, sizes))

    async def write(app: str, counts: list[int]) -> None:
        for count in counts:
            await happen(world, *(b'{"n":%d}' % n for n in range(count)), app=app, ring=chance.random() < 0.8)

    async def listen() -> list[str]:
        ear = await server.ear()
        ready.release()
        heard: list[str] = []
        while len(heard) < total:
            for _ in range(min(chance.randint(0, 40), total - len(heard))):
                heard.append((await ear.event()).id)
            ear.kill()
            ear = await server.ear(after=ear.last_id)
        ear.kill()
        return heard

    ready = asyncio.Semaphore(0)
    listening = [asyncio.create_task(listen()) for _ in range(ears)]
    for _ in range(ears):
        await ready.acquire()
    await asyncio.gather(*(write("default", counts) for counts in sizes), write("other", [3] * commits))
    expected = await in_order(world)
    assert len(set(expected)) == total
    for heard in await asyncio.gather(*listening):
        assert heard == expected


async def test_a_reader_that_was_away_for_long_reads_all_pages_and_goes_on_live(world: World, server: Server) -> None:
    await happen(world, *(b'{"n":%d}' % n for n in range(hub.PAGE * 2 + 50)))
    first = (await in_order(world))[0]
    ear = await server.ear(after=first)
    await happen(world, b'{"n":"new"}')
    heard = await ear.events(hub.PAGE * 2 + 50)
    assert [h.id for h in heard] == (await in_order(world))[1:]


async def test_what_happens_while_a_reader_catches_up_is_neither_left_out_nor_anothers(world: World, server: Server) -> None:
    await world.api("POST", "/v1/apps", json={"id": "other"})
    ours, theirs = await server.ear(), await server.ear(app="other")
    start = ours.last_id
    for _ in range(3):
        await happen(world, b'"%s"' % (b"x" * 200_000))
        await ours.event()
    slow = await server.ear(after=start, deaf=True)  # it has its page from the database, and does not take it
    await happen(world, b'{"n":"theirs"}', app="other")
    await happen(world, b'{"n":"ours"}')
    await asyncio.gather(ours.event(), theirs.event())
    assert [h.id for h in await slow.events(4)] == await in_order(world)
    await happen(world, b'{"n":"live"}')
    assert (await slow.event()).data == b'{"n":"live"}'


async def test_a_reader_without_a_cursor_starts_at_the_present_end(world: World, server: Server) -> None:
    here = await server.ear()
    await happen(world, b'{"n":1}')
    late = await server.ear()
    await happen(world, b'{"n":2}')
    assert [h.data for h in await here.events(2)] == [b'{"n":1}', b'{"n":2}']
    assert (await late.event()).data == b'{"n":2}'


async def test_a_cursor_of_the_page_feed_goes_on_as_a_stream_and_the_header_of_a_reconnect_wins(
    world: World, server: Server
) -> None:
    await happen(world, b'{"n":1}', b'{"n":2}', b'{"n":3}')
    first, second, _ = await in_order(world)
    page = (await world.api("GET", "/v1/events?limit=1")).json()
    ear = await server.ear(query=f"?cursor={page['next']}")
    assert [h.data for h in await ear.events(2)] == [b'{"n":2}', b'{"n":3}']
    again = await server.ear(query=f"?cursor={first}", after=second)
    assert (await again.event()).data == b'{"n":3}'


async def test_another_apps_events_never_show_neither_live_nor_afterwards(world: World, server: Server) -> None:
    await world.api("POST", "/v1/apps", json={"id": "other"})
    ours, theirs = await server.ear(), await server.ear(app="other")
    start = ours.last_id
    for n in range(20):
        await happen(world, b'{"ours":%d}' % n)
        await happen(world, b'{"theirs":%d}' % n, app="other")
    for app, ear in (("ours", ours), ("theirs", theirs)):
        assert [h.data for h in await ear.events(20)] == [b'{"%s":%d}' % (app.encode(), n) for n in range(20)]
    again = await server.ear(after=start, app="other")
    assert [h.data for h in await again.events(20)] == [b'{"theirs":%d}' % n for n in range(20)]


async def test_patterns_choose_live_and_afterwards(world: World, server: Server) -> None:
    ear = await server.ear(query="?events=task.succeeded,callback.*")
    start = ear.last_id
    for type in ("task.queued", "callback.conflict", "task.running", "task.succeeded"):
        await happen(world, b"{}", type=type)
    assert [h.type for h in await ear.events(2)] == ["callback.conflict", "task.succeeded"]
    again = await server.ear(query="?events=task.*", after=start)
    assert [h.type for h in await again.events(3)] == ["task.queued", "task.running", "task.succeeded"]


async def test_a_cursor_from_the_future_silences_nobody_not_even_its_bearer(world: World, server: Server) -> None:
    liar = await server.ear(after=feed.place(1 << 62, 1 << 62))
    honest = await server.ear()
    await happen(world, b'{"n":1}')
    assert (await honest.event()).data == b'{"n":1}'
    assert (await liar.event()).data == b'{"n":1}'


async def test_what_happens_before_a_reader_from_the_future_has_its_turn_is_heard(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = asyncio.Semaphore(0)
    monkeypatch.setattr(world.site.hub, "_replaying", turn)
    liar = await server.ear(after=feed.place(1 << 62, 1 << 62))
    await happen(world, b'{"n":1}')
    turn.release()
    assert (await liar.event()).data == b'{"n":1}'


async def test_a_slow_reader_is_cut_off_and_resumes_and_delays_nobody(world: World, server: Server) -> None:
    slow, quick = await server.ear(deaf=True), await server.ear()
    bodies = [b'{"n":%d,"x":"%s"}' % (n, b"x" * 100_000) for n in range(20)]
    for body in bodies:
        await happen(world, body)
        assert (await quick.event()).data == body
    heard, end = await slow.rest()
    assert end is ConnectionError
    assert len(heard) < len(bodies)
    again = await server.ear(after=slow.last_id)
    heard += await again.events(len(bodies) - len(heard))
    assert [h.data for h in heard] == bodies


async def test_a_crowd_that_comes_back_and_does_not_read_holds_little_and_is_cut_off(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await server.ear()
    start = first.last_id
    first.kill()
    bodies = [b'{"n":%d,"x":"%s"}' % (n, b"x" * 40_000) for n in range(60)]
    await happen(world, *bodies)
    most_bytes = most_holding = 0
    all_came = False

    def look() -> bool:
        nonlocal most_bytes, most_holding
        held = [r.waiting_bytes for r in world.site.hub._readers]
        most_bytes, most_holding = max(most_bytes, sum(held)), max(most_holding, sum(n > 1_000 for n in held))
        return all_came and len(held) <= 1  # the one that reads

    monkeypatch.setattr(hub, "TAKE_S", 1.0)
    looking = asyncio.create_task(until(look))
    deaf = await asyncio.gather(*(server.ear(after=start, deaf=True) for _ in range(hub.PAGES * 2)))
    all_came = True
    reads = await server.ear(after=start)
    heard = await reads.events(len(bodies))
    await looking
    assert [h.data for h in heard] == bodies
    assert hub.PAGES // 2 < most_holding <= hub.PAGES
    assert most_bytes <= hub.PAGES * hub.PAGE_BYTES
    _, end = await deaf[0].rest()
    assert end is ConnectionError


async def test_a_reader_that_takes_nothing_between_two_heartbeats_is_cut_off(world: World, server: Server) -> None:
    stuck, quick = await server.ear(deaf=True), await server.ear()
    for _ in range(3):
        await happen(world, b'"%s"' % (b"x" * 200_000))
        await quick.event()
    for _ in range(2):
        assert world.site.hub.reader_count == 2
        await world.site.hub.beat(0.0)
        await quick.beat()
    await until(lambda: world.site.hub.reader_count == 1)
    _, end = await stuck.rest()
    assert end is ConnectionError


async def test_one_timer_keeps_all_connections_warm(world: World, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "BEAT_S", 0.02)
    for ear in [await server.ear() for _ in range(3)]:
        await ear.beat()
    assert named("live beats") == ["live beats"]


async def test_a_stream_ends_after_its_life_and_goes_on_with_a_new_one(world: World, server: Server) -> None:
    ear = await server.ear()
    await happen(world, b'{"n":1}')
    await ear.event()
    await world.site.hub.beat(asyncio.get_running_loop().time() + live.LIFE_S * 1.25)
    assert await ear.rest() == ([], EOFError)
    await happen(world, b'{"n":2}')
    assert (await (await server.ear(after=ear.last_id)).event()).data == b'{"n":2}'


async def test_at_shutdown_every_stream_ends_at_once_even_of_a_reader_that_does_not_read(world: World) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async with serving(world) as server:
            ears = [await server.ear() for _ in range(20)]
            await server.ear(deaf=True)
            await happen(world, b'"%s"' % (b"x" * 200_000))
            for ear in ears:
                await ear.event()
            await world.site.hub.close()
            for ear in ears:
                assert await ear.rest() == ([], EOFError)
            await gone(world)
            assert (await server.ear()).status == 503
    assert named("live") == []


async def test_one_reader_too_many_is_told_to_come_again(world: World, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "READERS_LIMIT", 1)
    first = await server.ear()
    refused = await server.ear()
    assert refused.status == 503
    assert b"retry-after: 5" in refused.headers
    first.kill()
    await gone(world)
    assert (await server.ear()).status == 200


async def test_a_stream_is_refused_like_everything_else(world: World, server: Server) -> None:
    made = await world.api("POST", "/v1/apps/default/keys", json={"scopes": ["submit"]})
    assert (await server.ear(key="csk_nobody")).status == 401
    assert (await server.ear(key=made.json()["key"])).status == 403
    assert (await server.ear(app="nobody")).status == 404
    for query in ("?cursor=at_0", "?events=task.exploded", "?events=", "?limit=5"):
        assert (await server.ear(query=query)).status == 422
    assert (await server.ear(after="yesterday")).status == 422


async def test_without_the_wish_for_a_stream_it_is_a_page(world: World) -> None:
    await happen(world, b'{"n":1}')
    for accept in ("*/*", "application/json"):
        answer = await world.api("GET", "/v1/events", Accept=accept)
        assert answer.headers["content-type"] == "application/json"
        assert [entry["notice"] for entry in answer.json()["data"]] == [{"n": 1}]
    head = await world.api("HEAD", "/v1/events", Accept="text/event-stream")
    assert (head.status_code, head.headers["content-type"]) == (200, "application/json")


async def test_a_test_notice_rings_too(world: World, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_S", 3_600.0)  # only the bell can wake it
    sub = await world.subscribe()
    ear = await server.ear()
    await happen(world, b"{}")
    await ear.event()
    await world.api("POST", f"/v1/subscriptions/{sub.name}/test")
    assert (await ear.event()).type == "test"


async def test_how_many_are_listening_is_counted(world: World, server: Server) -> None:
    ears = [await server.ear() for _ in range(3)]
    assert "callsheet_live_readers 3.0" in (await world.http.get("/metrics")).text
    for ear in ears:
        ear.kill()
    await gone(world)
    assert "callsheet_live_readers 0.0" in (await world.http.get("/metrics")).text


async def test_a_bug_before_the_first_byte_is_answered_and_logged_like_any_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(_: Any) -> None:
        raise ZeroDivisionError("a secret thing")

    monkeypatch.setattr(journal, "feed_end", explode)
    answer = await world.api("GET", "/v1/events", Accept="text/event-stream")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "http.failed" in [r.message for r in caplog.records]
