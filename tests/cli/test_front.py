"""The front of the server: who is turned away before the application hears of him, and callbacks that it never sees."""

import pytest

from service.cli import front
from service.cli.front import SMALL
from tests.cli.fronted import Behind, callback, client, post, serving
from tests.until import until

pytestmark = pytest.mark.anyio


async def test_in_a_crowd_a_post_is_turned_away_and_the_connection_kept() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        assert (await caller.ask(post()))[0] == 200
        app.crowded = True
        status, head, _ = await caller.ask(post())
        assert (status, "retry-after: 1\r\n" in head, "connection: close" in head) == (503, True, False)
        assert (await caller.ask(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"))[0] == 200, "whoever only looks is served"
        app.crowded = False
        assert (await caller.ask(post(b"later")))[2] == b"later"
        assert app.away == 1


async def test_the_body_of_whoever_was_turned_away_is_nobodys_request() -> None:
    app = Behind()
    app.crowded = True
    async with serving(app) as port, client(port) as caller:
        head, body = post(post(b"smuggled")).split(b"\r\n\r\n", 1)
        assert (await caller.ask(head + b"\r\n\r\n"))[0] == 503
        app.crowded = False
        caller.writer.write(body)
        assert (await caller.ask(post(b"mine")))[2] == b"mine"


async def test_a_large_body_is_left_to_the_application_which_need_not_read_it() -> None:
    app = Behind()
    app.crowded = True
    async with serving(app) as port, client(port) as caller:
        assert (await caller.ask(post(b"x" * (SMALL + 1))))[0] == 200
        assert app.away == 0


async def test_one_connection_too_many_is_told_to_come_again_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "CONNECTIONS", 2)
    async with serving(Behind()) as port, client(port) as one, client(port) as other:
        assert (await one.ask(post()))[0] == (await other.ask(post()))[0] == 200
        async with client(port) as third:
            status, head, _ = await third.ask(post())
            assert (status, "retry-after: 1\r\n" in head) == (503, True)
            assert await third.ended()
        assert (await one.ask(post()))[0] == 200


# --- callbacks that are here whole ---


async def test_a_whole_callback_is_answered_without_the_application() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        status, head, body = await caller.ask(callback())
        assert (status, body) == (200, b'{"ok":true}')
        assert "content-type: application/json\r\n" in head
        assert "\r\ndate: " in head
        assert (await caller.ask(callback(b"wrong")))[0] == 404, "on the same connection"
        assert [(p, t, b) for p, t, b, _ in app.knocked] == [("ark", "right", b"news"), ("ark", "wrong", b"news")]
        assert app.asked == []


async def test_what_is_unusual_about_a_callback_makes_it_a_request_like_any_other() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        head, body = callback().split(b"\r\n\r\n")
        caller.writer.write(head + b"\r\n\r\n" + body[:2])
        await until(lambda: app.asked == ["/callbacks/ark/right"])
        assert await caller.ask(body[2:]) == (200, *(await caller.ask(post()))[1:]), "in two pieces"
        unusual = [
            callback(b"right", b"x" * (SMALL + 1)),
            post(path=b"/callbacks/nobody/token"),
            callback().replace(b"POST", b"PUT"),
            callback(b"right", b"news", b"Expect: 100-continue"),
            callback().replace(b"Content-Length: 4", b"Transfer-Encoding: chunked").replace(b"news", b"4\r\nnews\r\n0\r\n\r\n"),
            post(path=b"http://test/callbacks/ark/right"),
            post(path=b"/callbacks/ark/right?theirs=1"),
            post(path=b"/callbacks/ark/r%69ght"),
            post(path=b"/callbacks/ark/right/more"),
        ]
        for one in unusual:
            caller.writer.write(one)
            status = (await caller.answer())[0] if b"Expect" not in one else await caller.continued()
            assert status == 200, one[:80]
        assert len(app.asked) == 2 + len(unusual)
        assert app.knocked == []


async def test_answers_to_one_connection_keep_the_order_of_its_requests() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(callback(b"later") + callback(b"right", b"second") + post(b"third") + callback(b"wrong"))
        await until(lambda: bool(app.knocked))
        assert app.asked == [], "they wait for the first"
        app.knocked[0][3](503)
        answers = [await caller.answer() for _ in range(4)]
        assert [(status, body) for status, _, body in answers] == [
            (503, b'{"title":"Service Unavailable","status":503}'),
            (200, b"second"),
            (200, b"third"),
            (200, b"news"),
        ]
        assert (await caller.ask(callback()))[2] == b'{"ok":true}', "and the next one is whole and alone again"


@pytest.mark.parametrize("farewell", [b"Connection: close", b"1.0"])
async def test_whoever_wants_no_more_is_answered_and_hung_up_on(farewell: bytes) -> None:
    async with serving(Behind()) as port, client(port) as caller:
        request = callback().replace(b"HTTP/1.1", b"HTTP/1.0") if farewell == b"1.0" else callback(b"right", b"news", farewell)
        status, head, _ = await caller.ask(request)
        assert (status, "connection: close\r\n" in head) == (200, True)
        assert await caller.ended()


async def test_nothing_breaks_when_the_sender_hangs_up_before_his_answer() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as other:
        async with client(port) as caller:
            caller.writer.write(callback(b"later"))
            await until(lambda: bool(app.knocked))
            caller.writer.transport.abort()
        assert (await other.ask(callback()))[0] == 200
        app.knocked[0][3](200)
        assert (await other.ask(callback()))[0] == 200


async def test_a_callback_under_way_is_answered_before_the_server_ends() -> None:
    app = Behind()
    async with serving(app) as port, client(port) as caller:
        caller.writer.write(callback(b"later"))
        await until(lambda: bool(app.knocked))
        app.server.should_exit = True
        app.knocked[0][3](200)
        assert (await caller.answer())[0] == 200
        assert await caller.ended()


async def test_answers_that_nobody_reads_are_not_piled_up() -> None:
    app = Behind()
    async with serving(app, buffer=4_096) as port, client(port, buffer=4_096) as caller:
        sent = 0
        while not app.asked and sent < 5_000:
            caller.writer.write(callback())
            sent += 1
            await until(lambda sent=sent: len(app.knocked) + len(app.asked) >= sent)
        assert app.asked, "the way of all other requests, where an answer waits until the last one is read"
