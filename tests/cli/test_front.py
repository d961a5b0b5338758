"""The front of the server: who is turned away before the application hears of him."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.cli import front
from service.cli.front import SMALL, Bounded
from tests.until import until

pytestmark = pytest.mark.anyio


class Behind:
    """An application that answers with what it read."""

    crowded = False
    away = 0
    server: uvicorn.Server

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Paths that came as requests."""
        self.knocked: list[tuple[str, str, bytes, Callable[[int], None]]] = []

    def turned_away(self) -> None:
        self.away += 1

    def knock(self, provider: str, token: str, body: bytes, answer: Callable[[int], None]) -> bool:
        if provider == "nobody":
            return False
        self.knocked.append((provider, token, body, answer))
        if token != "later":
            answer(404 if token == "wrong" else 200)
        return True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(app: Behind, buffer: int | None = None, keep_s: float = 60) -> AsyncIterator[int]:
    started = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(app, http=Bounded, ws="none", lifespan="off", log_config=None, proxy_headers=False)
    config.timeout_keep_alive = keep_s  # type: ignore[assignment]  # it takes whole seconds from a command line
    server = app.server = Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    if buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    running = asyncio.create_task(server.serve([listening]))
    await started.wait()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await running


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, str, bytes]:
        """(status, head, body)"""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        return int(head.split()[1]), head, await self._reader.readexactly(length)

    async def ask(self, request: bytes) -> tuple[int, str, bytes]:
        self.writer.write(request)
        return await self.answer()

    async def continued(self) -> int:
        """The status after the word that the body may come."""
        assert (await self._reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        return (await self.answer())[0]

    async def ended(self) -> bool:
        return await self._reader.read() == b""


@asynccontextmanager
async def client(port: int, buffer: int | None = None) -> AsyncIterator[Client]:
    made = socket.socket()
    if buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=made, limit=buffer or 65_536)
    try:
        async with asyncio.timeout(60):
            yield Client(reader, writer)
    finally:
        writer.close()


def post(body: bytes = b"news", *fields: bytes, path: bytes = b"/") -> bytes:
    return b"\r\n".join([b"POST %b HTTP/1.1" % path, b"Host: test", *fields, b"Content-Length: %d" % len(body), b"", body])


def callback(token: bytes = b"right", body: bytes = b"news", *fields: bytes) -> bytes:
    return post(body, *fields, path=b"/callbacks/ark/" + token)


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
