"""Requests over real loopback connections: what is kept, what is shared, what is cut."""

import asyncio
import gc
import tracemalloc
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from service.egress import Stats, Transport, exchange, pool
from service.egress import transport as room
from service.egress.answer import Answer
from service.egress.connection import Connection
from service.egress.guard import Guard
from service.wire import Reply
from tests.egress.peer import LOOPBACK, Names, NoDial, Peer, always, forever, ok, once, post, read_request, transport

pytestmark = pytest.mark.anyio


async def send(out: Transport, url: str, body: bytes = b"{}", **extensions: Any) -> Reply:
    return await exchange(out, post(url, body, **extensions), total_s=10, cap=65_536)


async def test_the_request_arrives_as_built_with_its_own_host_and_the_body_whole() -> None:
    seen = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(ok())

    body = bytes(range(256)) * 1_000
    async with Peer(talk) as peer, transport(resolve=Names({"hook.test": ["127.0.0.1"]})) as out:
        request = httpx.Request("POST", f"http://hook.test:{peer.port}/a%20b?c=d", content=body, headers={"X-Sign": "v1,abc="})
        reply = await exchange(out, request, total_s=10, cap=100)
    head, arrived = seen[0]
    assert reply == Reply(200, {"content-length": "2"}, b"ok")
    assert head.startswith(b"POST /a%%20b?c=d HTTP/1.1\r\nHost: hook.test:%d\r\n" % peer.port)
    assert b"\r\nX-Sign: v1,abc=\r\n" in head
    assert arrived == body


async def test_a_subscribers_own_headers_change_neither_the_host_nor_where_the_body_ends() -> None:
    seen = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(ok())

    async with Peer(talk) as peer, transport() as out:
        headers = {"Host": "inner", "Content-Length": "1", "Transfer-Encoding": "chunked"}
        await exchange(out, httpx.Request("POST", peer.url, content=b"hello", headers=headers), total_s=10, cap=9)
    head, body = seen[0]
    assert body == b"hello"
    assert b"inner" not in head
    assert b"chunked" not in head


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b"])
async def test_a_header_with_a_line_break_never_leaves(value: str) -> None:
    connector = NoDial()
    async with transport(connect=connector) as out:
        with pytest.raises(httpx.ConnectError, match="line break"):
            await exchange(out, httpx.Request("POST", "http://127.0.0.1:1/", headers={"X-A": value}), total_s=1, cap=1)
    assert connector.dialled == []


async def test_one_connection_serves_many_requests_to_one_place() -> None:
    async with Peer(always(ok())) as peer, transport() as out:
        for _ in range(5):
            assert (await send(out, peer.url)).body == b"ok"
        assert out.stats() == Stats(open=1, idle=1, in_flight=0)
    assert peer.connection_count == 1


async def test_a_trusted_connection_never_serves_a_guarded_request() -> None:
    async with Peer(always(ok())) as peer, transport() as out:
        await send(out, peer.url, trusted=True)
        await send(out, peer.url)
    assert peer.connection_count == 2


async def test_a_fresh_request_takes_a_new_connection_and_leaves_it_to_others() -> None:
    async with Peer(always(ok())) as peer, transport() as out:
        await send(out, peer.url)
        await send(out, peer.url, fresh=True)
        assert peer.connection_count == 2
        await send(out, peer.url)
    assert peer.connection_count == 2


async def test_the_connection_used_last_is_the_one_used_next() -> None:
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        mine = count
        while True:
            await read_request(reader)
            writer.write(ok(b"%d" % mine))

    async with Peer(talk) as peer, transport() as out:
        for _ in range(3):
            await send(out, peer.url, fresh=True)
        assert [(await send(out, peer.url)).body for _ in range(3)] == [b"3"] * 3


async def test_an_answer_read_is_gone_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        async with Peer(always(ok())) as peer, transport() as out:
            for _ in range(5):
                await send(out, peer.url)
            assert not [thing for thing in gc.get_objects() if isinstance(thing, Answer)]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ok() + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ok() + b"garbage",
    ],
)
async def test_a_connection_that_cannot_be_trusted_with_the_next_request_is_closed(answer: bytes) -> None:
    async with Peer(always(answer)) as peer, transport() as out:
        assert (await send(out, peer.url)).body == b"ok"
        assert out.stats().idle == 0
        assert (await send(out, peer.url)).body == b"ok"
    assert peer.connection_count == 2


async def test_words_out_of_turn_never_answer_the_next_request() -> None:
    """The peer speaks again while the connection is idle: that must not be read as the answer to what comes next."""
    said, more = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok(b"first"))
        await more.wait()
        writer.write(ok(b"evil"))
        await reader.read()  # until our side hangs up on it
        said.set()

    async with Peer(talk) as peer, transport() as out:
        assert (await send(out, peer.url)).body == b"first"
        more.set()
        await said.wait()
        assert out.stats() == Stats(0, 0, 0)


async def test_a_kept_connection_found_closed_is_replaced_once_without_a_word() -> None:
    """Guards: the retry on `Stale`. The peer hangs up on the second request of its first connection."""
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await read_request(reader)
        writer.write(ok())
        await read_request(reader)
        if count > 1:
            writer.write(ok(b"second"))

    async with Peer(talk) as peer, transport() as out:
        await send(out, peer.url)
        assert (await send(out, peer.url)).body == b"ok"
        assert peer.connection_count == 2


async def test_a_kept_connection_that_said_half_a_word_is_not_retried() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok())
        await read_request(reader)
        writer.write(b"HTTP/1.1 2")

    async with Peer(talk) as peer, transport() as out:
        await send(out, peer.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await send(out, peer.url)
    assert peer.connection_count == 1


async def test_a_redirect_is_an_answer_like_any_other_and_nobody_follows_it() -> None:
    async with Peer(always(ok())) as elsewhere:
        answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n".encode()
        async with Peer(always(answer)) as peer, transport() as out:
            assert (await send(out, peer.url)).status == 302
    assert (peer.connection_count, elsewhere.connection_count) == (1, 0)


async def test_proxy_variables_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Peer(always(ok(b"proxy"))) as proxy, Peer(always(ok())) as peer, transport() as out:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await send(out, peer.url)).body == b"ok"
    assert proxy.connection_count == 0


async def test_a_body_labelled_gzip_is_delivered_as_it_came() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"
    async with Peer(always(answer)) as peer, transport() as out:
        assert (await send(out, peer.url)).body == b"plain"
        response = await out.handle_async_request(post(peer.url))
        assert b"".join([chunk async for chunk in response.stream]) == b"plain"


@pytest.mark.parametrize("announced", [True, False])
async def test_ten_megabytes_are_cut_at_the_cap_with_memory_flat(announced: bool) -> None:
    """Guards: the cap. Collecting everything would peak above 10 MB."""
    sent, hung_up = 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 10485760\r\n\r\n" if announced else b"\r\n"))
        piece = b"x" * 16_384
        try:
            while sent < 10_485_760:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
        finally:
            hung_up.set()

    async with Peer(talk) as peer, transport() as out:
        tracemalloc.start()
        reply = await exchange(out, post(peer.url), total_s=10, cap=65_536)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await hung_up.wait()
    assert reply.body == b"x" * 65_536
    assert peak < 3_000_000
    assert sent < 10_485_760


@pytest.mark.parametrize("keep", [True, False])
async def test_a_trickle_of_single_bytes_is_read_in_gulps(monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    """Each read wakes the loop; somebody who sends one byte at a time could keep a core busy with one answer."""
    reads: list[int] = []
    received = Connection.data_received
    monkeypatch.setattr(Connection, "data_received", lambda self, data: (reads.append(len(data)), received(self, data))[1])
    body = bytes(i % 251 for i in range(4_000))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            head, rest = ok(body)[: -len(body)], body
            writer.write(head if keep else head.replace(b"OK", b"OK\r\nConnection: close"))
            for i in range(len(rest)):
                writer.write(rest[i : i + 1])
                await asyncio.sleep(0)

    async with Peer(talk) as peer, transport() as made:
        for _ in range(2):
            answer = await exchange(made, post(peer.url), total_s=60, cap=65_536)
            assert answer.body == body
        assert peer.connection_count == (1 if keep else 2)
    assert len(reads) < 1_000, "of 8,000"


async def test_an_early_answer_is_read_while_the_body_is_still_being_written() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await forever()

    async with Peer(talk) as peer, transport() as out:
        reply = await send(out, peer.url, b"x" * 20_000_000)
        assert (reply.status, reply.body) == (413, b"big")
        assert out.stats().idle == 0


async def test_an_early_answer_that_ends_with_a_hang_up_is_read_too() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\nno")
        await writer.drain()
        writer.write_eof()
        await forever()

    async with Peer(talk) as peer, transport() as out:
        assert (await send(out, peer.url, b"x" * 20_000_000)).body == b"no"


async def test_interim_answers_are_passed_over() -> None:
    async with Peer(always(b"HTTP/1.1 100 Continue\r\n\r\n" + ok())) as peer, transport() as out:
        assert await send(out, peer.url) == await send(out, peer.url) == Reply(200, {"content-length": "2"}, b"ok")
    assert peer.connection_count == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_leaves_the_connection_usable(method: str, answer: bytes) -> None:
    async with Peer(always(answer)) as peer, transport() as out:
        for _ in range(2):
            assert (await exchange(out, httpx.Request(method, peer.url), total_s=10, cap=9)).body == b""
    assert peer.connection_count == 1


async def test_five_hundred_in_flight_at_once_all_get_their_own_answer() -> None:
    """The peer answers nobody until all have asked."""
    waiting, all_in = 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        while True:
            _, body = await read_request(reader)
            waiting += 1
            if waiting == 500:
                all_in.set()
            await all_in.wait()
            writer.write(ok(body))

    async with Peer(talk) as peer, transport() as out:
        tasks = [asyncio.create_task(send(out, peer.url, b"%d" % i)) for i in range(500)]
        replies = await asyncio.gather(*tasks)
        assert [reply.body for reply in replies] == [b"%d" % i for i in range(500)]
        assert out.stats() == Stats(open=pool.IDLE_LIMIT, idle=pool.IDLE_LIMIT, in_flight=0)


async def test_a_crowd_at_one_address_keeps_its_connections_until_somebody_else_needs_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "IDLE_LIMIT", 9)
    monkeypatch.setattr(pool, "SHARE", 3)
    waiting, all_in = 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        while True:
            await read_request(reader)
            waiting += 1
            if waiting >= 8:
                all_in.set()
            await all_in.wait()
            writer.write(ok())

    async with Peer(talk) as crowd, Peer(always(ok())) as quiet, transport() as out:
        await send(out, quiet.url)
        for _ in range(2):
            await asyncio.gather(*(send(out, crowd.url) for _ in range(8)))
        assert (crowd.connection_count, out.stats().idle) == (8, 9), "more than a share, as long as nobody wants it"
        await asyncio.gather(*(send(out, quiet.url) for _ in range(3)))
        assert out.stats().idle == 9
        await send(out, quiet.url)
        assert quiet.connection_count == 3, "room was made by those who held more than their share"
        await asyncio.gather(*(send(out, crowd.url) for _ in range(6)))
        assert crowd.connection_count == 8, "and what is left of theirs serves on"


async def test_idle_connections_are_bounded_altogether_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_LIMIT", 2)
    async with Peer(always(ok())) as a, Peer(always(ok())) as b, Peer(always(ok())) as c, transport() as out:
        for peer in (a, b, c):
            await send(out, peer.url)
        assert out.stats().idle == 2
        await send(out, c.url)
        await send(out, b.url)
        await send(out, a.url)
    assert (a.connection_count, b.connection_count, c.connection_count) == (2, 1, 1)


async def test_an_idle_connection_is_closed_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_S", 0.02)
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok())
        assert await reader.read() == b""
        gone.set()

    async with Peer(talk) as peer, transport() as out:
        await send(out, peer.url)
        await gone.wait()
        assert out.stats().idle == 0


async def test_a_cancelled_exchange_closes_its_connection() -> None:
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await forever()

    async with Peer(talk) as peer, transport() as out:
        task = asyncio.create_task(send(out, peer.url))
        await arrived.wait()
        assert out.stats() == Stats(open=1, idle=0, in_flight=1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert out.stats() == Stats(0, 0, 0)


async def test_closing_ends_what_is_idle_and_what_is_in_flight_and_refuses_the_rest() -> None:
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await forever()

    async with Peer(always(ok())) as quick, Peer(talk) as slow:
        out = Transport(LOOPBACK)
        await send(out, quick.url)
        task = asyncio.create_task(send(out, slow.url))
        await arrived.wait()
        await out.aclose()
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await task
        assert out.stats() == Stats(0, 0, 0)
        with pytest.raises(httpx.ConnectError):
            await send(out, quick.url)


async def test_a_send_at_a_forbidden_moment_is_a_bug_and_dials_nothing() -> None:
    connector, reason = NoDial(), "inside a database transaction"
    async with transport(Guard(), connect=connector, forbidden=lambda: reason) as out:
        with pytest.raises(AssertionError, match=reason):
            await send(out, "https://8.8.8.8/")
    assert connector.dialled == []


async def test_an_httpx_client_can_be_put_around_it() -> None:
    async with Peer(once(ok(b'{"a":1}'))) as peer, httpx.AsyncClient(transport=Transport(LOOPBACK), timeout=5) as client:
        assert (await client.get(peer.url)).json() == {"a": 1}


async def test_a_deadline_comes_by_extension_as_a_total_or_as_httpx_says_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await forever()

    steps = {"connect": 0.02, "read": 0.02, "write": 0.02, "pool": 0.02}
    async with Peer(talk) as peer, transport() as out:
        for timeout in ({"total": 0.05}, steps):
            with pytest.raises(httpx.ReadTimeout):
                await out.handle_async_request(post(peer.url, timeout=timeout))


async def test_a_long_answer_is_an_error_to_who_named_no_cap_and_reads_it_through_httpx() -> None:
    async with Peer(always(ok(b"x" * 11))) as peer, transport() as out:
        with pytest.raises(httpx.RemoteProtocolError):
            await out.handle_async_request(post(peer.url, cap=10))
        response = await out.handle_async_request(post(peer.url, cap=10, over="cut"))
        assert await response.aread() == b"x" * 10


async def test_a_leak_of_requests_meets_a_limit_before_anything_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IN_FLIGHT_LIMIT", 1)
    arrived, go = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await go.wait()
        writer.write(ok())

    async with Peer(talk) as peer, transport() as out:
        first = asyncio.create_task(send(out, peer.url))
        await arrived.wait()
        with pytest.raises(httpx.ConnectError, match="in flight"):
            await send(out, peer.url)
        go.set()
        assert (await first).body == b"ok"


async def test_the_systems_own_resolver_finds_this_machine() -> None:
    guard = Guard([ip_network("127.0.0.0/8"), ip_network("::1/128")])
    async with Peer(always(ok())) as peer, transport(guard) as out:
        for trusted in (False, True):
            assert (await send(out, f"http://localhost:{peer.port}/", trusted=trusted)).body == b"ok"
