"""What one connection may take, whatever it sends and does not read."""

import asyncio

import pytest

from service.cli import bounds
from service.cli.bounds import HEAD_LIMIT, PIPELINED
from tests.cli.fronted import Behind, callback, client, post, serving
from tests.until import until

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("path", [b"/", b"/callbacks/ark/right"])
async def test_a_connection_that_is_quiet_for_long_is_ended(path: bytes) -> None:
    async with serving(Behind(), keep_s=0.05) as port, client(port) as caller:
        caller.writer.write(post(path=path) * 3)
        assert [(await caller.answer())[0] for _ in range(3)] == [200, 200, 200]
        assert await caller.ended()


async def test_whoever_waits_for_an_answer_is_not_quiet() -> None:
    app = Behind()
    async with serving(app, keep_s=0.05) as port, client(port) as caller, client(port) as quiet:
        caller.writer.write(callback() + callback(b"later"))
        assert (await caller.answer())[0] == 200
        await until(lambda: len(app.knocked) == 2)
        assert (await quiet.ask(post()))[0] == 200
        assert await quiet.ended(), "who began to be quiet after him"
        app.knocked[1][3](200)
        assert (await caller.answer())[0] == 200
        assert await caller.ended()


async def test_a_request_that_began_before_the_last_answer_is_not_quiet() -> None:
    app = Behind()
    async with serving(app, keep_s=0.05) as port, client(port) as caller, client(port) as quiet:
        caller.writer.write(GET + GET[:9])
        assert (await caller.answer())[0] == 200
        app.held = asyncio.Event()
        caller.writer.write(GET[9:])
        await until(lambda: len(app.asked) == 2)
        caller.writer.write(b"")
        assert (await quiet.ask(callback(b"wrong")))[0] == 404
        assert await quiet.ended(), "who began to be quiet after him"
        app.held.set()
        assert (await caller.answer())[0] == 200


async def test_a_head_that_we_do_not_read_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.05)
    app = Behind()
    app.held = asyncio.Event()
    async with serving(app) as port, client(port) as caller, client(port) as silent:
        caller.writer.write(GET + GET + GET[:9])
        await until(lambda: bool(app.asked))
        caller.writer.write(GET[9:])
        assert await silent.ended(), "who has said nothing for as long"
        app.held.set()
        assert [(await caller.answer())[0] for _ in range(3)] == [200, 200, 200]


async def test_half_a_head_behind_a_request_does_not_cost_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.05)
    app = Behind()
    app.held = asyncio.Event()
    async with serving(app) as port, client(port) as caller, client(port) as silent:
        caller.writer.write(GET + GET[:9])
        await until(lambda: bool(app.asked))
        assert await silent.ended()
        app.held.set()
        assert (await caller.answer())[0] == 200
        assert await caller.ended()


async def test_a_broken_body_is_said_at_once_and_costs_nobody_else_his_answer() -> None:
    app = Behind()
    broken = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
    async with serving(app) as port, client(port) as caller, client(port) as other:
        status, _, _ = await caller.ask(broken)
        assert status == 400
        await until(lambda: app.missed == 1)
        app.held = asyncio.Event()
        other.writer.write(GET + broken)
        await until(lambda: len(app.asked) == 2)
        app.held.set()
        assert (await other.answer())[0] == 200
        assert await other.ended()


@pytest.mark.parametrize("after", [b"\r\n", b"\r\n\r\n"])
async def test_bytes_that_begin_no_request_do_not_break_the_quiet(after: bytes) -> None:
    async with serving(Behind(), keep_s=0.05) as port, client(port) as caller:
        assert (await caller.ask(post()))[0] == 200
        caller.writer.write(after)
        assert await caller.ended()


@pytest.mark.parametrize("rest", [b"", b"ne", b"news"])
async def test_whoever_was_refused_before_his_body_came_is_not_waited_for(rest: bytes) -> None:
    app = Behind()
    app.refusing = True
    async with serving(app, keep_s=0.05) as port, client(port) as caller:
        assert (await caller.ask(post(b"news")[: -len(b"news")]))[0] == 404
        caller.writer.write(rest)
        assert await caller.ended()


async def test_requests_in_a_row_are_answered_in_a_row_and_too_many_of_them_not_read() -> None:
    app = Behind()
    app.held = asyncio.Event()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(GET * 20_000)
        await until(lambda: bool(app.asked))
        [connection] = app.server.server_state.connections
        await until(lambda: connection.flow.read_paused)
        assert len(connection.pipeline) == PIPELINED
        app.held.set()
        answers = [await caller.answer() for _ in range(PIPELINED + 1)]
        assert {status for status, _, _ in answers} == {200}
        assert await caller.ended(), "whoever sent more connects again"
        assert len(app.asked) == PIPELINED + 1


async def test_nobody_is_read_from_while_requests_of_his_wait() -> None:
    app = Behind()
    app.held = asyncio.Event()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(GET * 3)
        await until(lambda: bool(app.asked))
        [connection] = app.server.server_state.connections
        for _ in range(20):  # whatever the first of them asks for
            await asyncio.sleep(0)
            assert connection.flow.read_paused
        app.held.set()
        assert [(await caller.answer())[0] for _ in range(3)] == [200, 200, 200]
        assert (await caller.ask(post(b"another")))[2] == b"another"


@pytest.mark.parametrize("line", [b"a: b\r\n", b"x"])
async def test_what_follows_a_body_has_an_end(line: bytes) -> None:
    app = Behind()
    app.refusing = True
    async with serving(app) as port, client(port) as caller:
        chunked = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        assert (await caller.ask(chunked))[0] == 404
        sent = 0
        while sent < 40 * HEAD_LIMIT and not caller.writer.transport.is_closing():
            caller.writer.write(line * 1_000)
            sent += len(line) * 1_000
            await asyncio.sleep(0)
        assert await caller.cut()


async def test_trailers_are_nobodys_headers() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        chunked = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnews\r\n0\r\na: b\r\n\r\n"
        assert (await caller.ask(chunked))[2] == b"news"
        assert (await caller.ask(post(b"more")))[2] == b"more"


async def test_whoever_goes_is_missed_although_a_request_of_his_still_waits() -> None:
    """A reader of the feed with another request behind it held his place for an hour."""
    app = Behind()
    app.telling = True
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(GET + GET)
        await until(lambda: bool(app.asked))
        caller.writer.transport.abort()
        await until(lambda: app.missed == 1)
        assert len(app.asked) == 1


async def test_answers_that_nobody_reads_hold_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "UNREAD_S", 0.05)
    app = Behind()
    app.long = b"x" * 10_000_000
    async with serving(app, buffer=4_096) as port, client(port, buffer=4_096) as caller:
        caller.writer.write(GET)
        await until(lambda: bool(app.asked) and not app.server.server_state.connections)


async def test_refusals_that_nobody_reads_are_not_piled_up() -> None:
    app = Behind()
    app.crowded = True
    async with serving(app, buffer=4_096) as port, client(port, buffer=4_096) as caller:
        sent = 0
        while not caller.writer.transport.is_closing() and sent < 20_000:
            caller.writer.write(post() * 50)
            sent += 50
            await asyncio.sleep(0)
            if sent > 50 and not app.server.server_state.connections:
                break
        assert not app.server.server_state.connections
        assert app.away < 20_000


async def test_half_a_body_does_not_hold_up_the_end_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LAST_BODY_S", 0.05)
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(post(b"news")[:-1])
        await until(lambda: bool(app.asked))
        app.server.should_exit = True
        assert await caller.ended()
        assert app.missed == 1


async def test_whoever_would_rather_speak_another_protocol_is_answered_in_this_one() -> None:
    app = Behind()
    wish = (
        b"POST / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    )
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(wish + b"Content-Length: 4\r\n\r\nnews" + post(b"behind"))
        assert [(await caller.answer())[2] for _ in range(2)] == [b"news", b"behind"]
        caller.writer.write(wish + b"Content-Length: 4\r\n\r\n")
        assert (await caller.ask(b"late"))[2] == b"late", "in a packet of its own"


async def test_nobody_is_reached_through_us() -> None:
    async with serving(Behind()) as port, client(port) as caller:
        caller.writer.write(b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n")
        assert (await caller.answer())[0] == 400
        assert await caller.ended()


async def test_what_is_no_request_ends_the_connection_after_the_answers_to_those_that_were() -> None:
    app = Behind()
    app.held = asyncio.Event()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(GET + callback()[:20] + b"\x00\r\n\r\n")
        await until(lambda: bool(app.asked))
        app.held.set()
        assert (await caller.answer())[0] == 200
        assert await caller.ended()


BAD_TARGETS = [b"http://host", b"http://a:99999/", b"http://host?q=1", b"http://u:p@h"]


@pytest.mark.parametrize("target", BAD_TARGETS)
@pytest.mark.parametrize(
    ("before", "refused"),
    [(b"", True), (callback(), True), (GET, False), (post() + GET, False), (callback() + post(), False)],
    ids=["first", "after an answer", "behind one", "behind two", "behind both kinds"],
)
async def test_a_target_that_leads_nowhere_takes_no_answer_of_those_before_it(
    target: bytes, before: bytes, refused: bool
) -> None:
    """Where nobody is being answered it has an answer of its own; else the connection ends behind theirs."""
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(before + b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n" % target)
        for _ in range(before.count(b"HTTP/1.1")):
            assert (await caller.answer())[0] == 200
        if refused:
            assert (await caller.answer())[0] == 400
        assert await caller.ended()
    assert len(app.asked) + len(app.knocked) == before.count(b"HTTP/1.1")
