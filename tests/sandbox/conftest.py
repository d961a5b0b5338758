"""A sandbox on a real port, and an address that its callbacks reach."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from service.sandbox import BASE_URLS, Sandbox, SandboxSettings, create_sandbox

WITHIN_S = 60.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Everything here is plain HTTP on loopback: loading the certificates of the world takes longer than a test."""
KEY = {"Authorization": "Bearer k-test"}
PRO = "seedance-1-0-pro-250528"


class Live:
    """One running sandbox with verbs."""

    def __init__(self, sandbox: Sandbox, root: str, http: httpx.AsyncClient, clock: "Clock", said: list[str]) -> None:
        self.sandbox, self.root, self.http, self.clock, self.said = sandbox, root, http, clock, said
        self.label: str | None = None
        """Content-Encoding of the last answer to `send`."""
        self.heard: list[Any] = []
        """Bodies of callbacks, as they came; bytes where they are no JSON."""
        self.answers: list[int] = []
        """Statuses to answer the next callbacks with; then 204."""
        self.answering = asyncio.Event()
        """Cleared: callbacks are heard and wait for their answer."""
        self.answering.set()
        self._news = asyncio.Condition()

    def base(self, provider: str) -> str:
        return self.root + BASE_URLS[provider]

    @property
    def hook(self) -> str:
        return f"{self.root}/hook"

    async def hear(self, request: Request) -> Response:
        body = await request.body()
        async with self._news:
            try:
                self.heard.append(orjson.loads(body))
            except orjson.JSONDecodeError:
                self.heard.append(body)
            self._news.notify_all()
        await self.answering.wait()
        return Response(status_code=self.answers.pop(0) if self.answers else 204)

    async def until_heard(self, count: int) -> list[Any]:
        async with asyncio.timeout(WITHIN_S), self._news:
            await self._news.wait_for(lambda: len(self.heard) >= count)
        return self.heard

    async def send(self, method: str, url: str, **more: Any) -> httpx.Response:
        """The answer with its body as it came, whatever its label says about it."""
        async with self.http.stream(method, url, **more) as answer:
            body = b"".join([chunk async for chunk in answer.aiter_raw()])
        self.label = answer.headers.pop("content-encoding", None)
        return httpx.Response(answer.status_code, headers=answer.headers, content=body)

    async def order(self, prompt: str, provider: str = "ark", **fields: Any) -> httpx.Response:
        body = {"model": PRO, "content": [{"type": "text", "text": prompt}], **fields}
        return await self.send("POST", f"{self.base(provider)}/contents/generations/tasks", json=body, headers=KEY)

    async def ask(self, id: str, provider: str = "ark") -> httpx.Response:
        return await self.send("GET", f"{self.base(provider)}/contents/generations/tasks/{id}", headers=KEY)

    async def placed(self, prompt: str, provider: str = "ark", **fields: Any) -> str:
        answer = await self.order(prompt, provider, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def ended(self, id: str, provider: str = "ark") -> dict[str, Any]:
        """The task object once it ended."""
        job = self.sandbox.world.find(provider, id)
        assert job is not None
        async with asyncio.timeout(WITHIN_S):
            await job.ended.wait()
        task: dict[str, Any] = (await self.ask(id, provider)).json()
        return task

    async def callbacks_settled(self) -> dict[str, dict[str, int]]:
        """The counts, once no callback is on its way."""
        async with asyncio.timeout(WITHIN_S):
            while self.sandbox.calling:
                await asyncio.wait(self.sandbox.calling)
        counts: dict[str, dict[str, int]] = (await self.http.get(f"{self.root}/sandbox/stats")).json()["callbacks"]
        return counts


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    @property
    def datetime(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)


Start = Callable[..., Awaitable[Live]]


@asynccontextmanager
async def running(settings: SandboxSettings, clock: Clock) -> AsyncIterator[Live]:
    said: list[str] = []
    app = create_sandbox(settings, clock, said.append, transport=httpx.AsyncHTTPTransport(verify=NO_TLS, trust_env=False))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        root = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with app.state.sandbox as sandbox, httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=WITHIN_S) as http:
            live = Live(sandbox, root, http, clock, said)
            routes = [Mount("/sandbox", app), Route("/hook", live.hear, methods=["POST"])]
            config = uvicorn.Config(
                Starlette(routes=routes), log_level="critical", access_log=False, timeout_graceful_shutdown=1
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield live
            finally:
                server.should_exit = True
                await serving


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    """Starts a sandbox whose jobs end at once, with these settings."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Live:
            quick: dict[str, Any] = {"queue_s": 0.01, "run_s": 0.01, "callback_pause_s": 0.01, "seed": 7}
            return await stack.enter_async_context(running(SandboxSettings(**quick | settings), clock))

        yield begin


@pytest.fixture
async def live(start: Start) -> Live:
    return await start()
