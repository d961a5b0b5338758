"""Tells whoever ordered: real POSTs to the order's callback URL, late, lost, doubled or broken when that was wished for.

One job's callbacks go out one after the other, so that the order is true unless `[reorder]` says otherwise; the real
thing promises no order. 2xx within the limit counts as received: the documents speak of "successful sending" only.

The requests leave through an httpx transport and not through a client: a client writes every address that it
calls into its log, and a callback's address is a secret.
"""

import asyncio
import random
from collections.abc import Callable

import httpx
import orjson

from service.sandbox.job import Job, Tasks
from service.sandbox.settings import SandboxSettings
from service.sandbox.stats import Stats

IN_FLIGHT = 100
"""Callbacks on the wire at once."""
WAITING = 50_000
"""Callbacks not yet ended; more are dropped and counted."""
ANSWER_LIMIT = 64 * 1024
"""Bytes of an answer that are read to keep the connection."""
_RETRIED = ("succeeded", "failed")

_BROKEN: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: body[: len(body) // 2],
    lambda body: b"<html><body>502 Bad Gateway</body></html>",
    lambda body: b"[" + body + b"," + body + b"]",
    lambda body: b'{"status": 7, "id": null}',
    lambda body: b"\xff\xfe" + body,
)


class Herald:
    def __init__(
        self, settings: SandboxSettings, stats: Stats, rng: random.Random, transport: httpx.AsyncBaseTransport
    ) -> None:
        self._settings, self._stats, self._rng, self._transport = settings, stats, rng, transport
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.tasks = Tasks()

    async def stop(self) -> None:
        await self.tasks.stop()
        await self._transport.aclose()

    def tell(self, job: Job, body: object) -> None:
        """`body` as the gateway says it at this moment; later changes do not reach back into it."""
        if job.ask.callback_url is None or job.provider not in self._settings.callbacks:
            return
        job.held.append((job.word, orjson.dumps(body)))
        if job.wish.reorder and not job.over:
            return
        letters, job.held = job.held[::-1] if job.wish.reorder else job.held, []
        for word, raw in letters:
            for _ in range(max(job.wish.repeat, 2 if self._hit("repeat") else 1)):
                self._send(job, word, raw)

    def _send(self, job: Job, word: str, body: bytes) -> None:
        if job.wish.loses(word) or self._hit("lose"):
            self._stats.callback(job.provider, "lost")
            return
        if len(self.tasks) >= WAITING:
            self._stats.callback(job.provider, "dropped")
            return
        if job.wish.garbles(word) or self._hit("garble"):
            self._stats.callback(job.provider, "garbled")
            body = self._rng.choice(_BROKEN)(body)
        job.telling = self.tasks.start(self._deliver(job, word, body, job.telling))

    def _hit(self, name: str) -> bool:
        return self._settings.rates.get(name, 0.0) > self._rng.random()

    async def _deliver(self, job: Job, word: str, body: bytes, before: asyncio.Task[None] | None) -> None:
        await asyncio.sleep(job.wish.delay_s)
        if before is not None and not before.done():
            await asyncio.wait([before])
        for number in range(self._settings.callback_tries if word in _RETRIED else 1):
            if number:
                await asyncio.sleep(self._settings.callback_pause_s)
            async with self._slots:
                self._stats.callback(job.provider, "sent")
                if await self._post(job.ask.callback_url or "", body):
                    self._stats.callback(job.provider, "acknowledged")
                    return
        self._stats.callback(job.provider, "given_up")

    async def _post(self, url: str, body: bytes) -> bool:
        try:
            async with asyncio.timeout(self._settings.callback_timeout_s):
                request = httpx.Request("POST", url, content=body, headers={"Content-Type": "application/json"})
                answer = await self._transport.handle_async_request(request)
                try:
                    read = 0
                    async for chunk in answer.aiter_raw():
                        read += len(chunk)
                        if read > ANSWER_LIMIT:
                            break
                finally:
                    await answer.aclose()
                return answer.is_success
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
            return False
