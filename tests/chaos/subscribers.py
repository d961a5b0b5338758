"""Subscribers that outlive everybody: each notice is verified, kept, and counted. Some behave badly when they are told to."""

import asyncio
from contextlib import suppress

from aiohttp import web

from service.sandbox.receiver import refusal
from tests.chaos.clock import Clock
from tests.chaos.history import History, Told

ENDLESS_BYTES = 10 * 1024 * 1024
DROP = bytes(64 * 1024)
DRIP_S = 0.02
"""Some seconds for all of it."""


class Subscribers:
    """Told apart by the last part of the path."""

    def __init__(self, clock: Clock, history: History) -> None:
        self.secrets: dict[str, str] = {}
        self.down: set[str] = set()
        """These answer 500."""
        self.hanging: set[str] = set()
        self.dripping: set[str] = set()
        self.slow_s = 0.0
        self.in_flight = 0
        self.heard = 0
        self._clock, self._history = clock, history
        self._over = asyncio.Event()

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/notices/{name}", self._take)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        try:
            return await self._answer(request)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        raw = await request.read()
        if name in self.down:
            return web.Response(status=500)
        if name in self.hanging:
            await self._over.wait()
        elif self.slow_s:
            await asyncio.sleep(self.slow_s)
        self._keep(name, request, raw)
        if name in self.dripping:
            return await self._drip(request)
        return web.Response(status=204)

    def _keep(self, name: str, request: web.Request, raw: bytes) -> None:
        id = request.headers.get("webhook-id", "")
        wrong = refusal(self.secrets[name], request.headers, raw, self._clock.now_s())
        self._history.expect(wrong is None, f"notice {id} to {name}: {wrong}")
        told = self._history.told.setdefault(id, Told(raw, subscriber=name))
        told.count += 1
        self.heard += 1
        self._history.expect(told.body == raw, f"notice {id}: a repetition says something else")
        self._history.expect(told.subscriber == name, f"notice {id} went to {told.subscriber} and to {name}")

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(ENDLESS_BYTES)})
        await answer.prepare(request)
        with suppress(ConnectionError):  # the service does not read it to the end
            for _ in range(ENDLESS_BYTES // len(DROP)):
                if self._over.is_set():
                    break
                await answer.write(DROP)
                await asyncio.sleep(DRIP_S)
        return answer

    def stop(self) -> None:
        self._over.set()
