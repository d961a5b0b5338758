"""Who sends in the fan-out bench, as a process of its own: our courier, or what it is measured against.

One command in a line of JSON on standard input, one result in a line on standard output, until the input ends. The backlog
is announced before the time starts and is drained when it ends: every delivery settled, with its attempt.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import httpx
import uvloop

from service.app import App
from service.flow.announce import Happening, announce
from service.loops import Loops
from service.parts import Parts
from service.settings import load
from tests.bench.backlog import settled
from tests.channels.samples import notice, task

LOOK_S = 0.01
"""Between two looks whether everything is settled."""
CHUNK = 500
BODY = notice(task(state="queued")).body
HEADERS = {
    "content-type": "application/json",
    "webhook-id": "msg_0d3kx9v2m4q7s",
    "webhook-timestamp": "1795214000",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}

Spent = tuple[float, float]
"""Seconds by the clock, seconds of CPU."""
Send = Callable[[dict[str, Any]], Awaitable[Spent]]
"""Carries out a command."""


class Plain(httpx.AsyncBaseTransport):
    """The courier's requests through an ordinary httpx client."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(timeout=30)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._client.send(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


async def drain(parts: Parts, command: dict[str, Any]) -> Spent:
    app_id, count = command["app_id"], command["count"]
    happening = Happening(app_id, "task.queued", "own", BODY)
    for start in range(0, count, CHUNK):
        many = min(CHUNK, count - start)
        await parts.db.write(lambda tx, many=many: announce(tx, parts, [happening] * many))
    loops = Loops(parts)
    began, cpu = time.perf_counter(), time.process_time()
    loops.start()
    while not await parts.db.read(settled):  # noqa: ASYNC110 it is the database that knows
        await asyncio.sleep(LOOK_S)
    spent = time.perf_counter() - began, time.process_time() - cpu
    await loops.stop()
    return spent


async def bare(command: dict[str, Any]) -> Spent:
    """No database, no signature, the same bytes to the same addresses: what the client library costs by itself."""
    left = iter([command["target"].replace("{n}", str(n % command["subscriptions"])) for n in range(command["deliveries"])])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def work() -> None:
            for url in left:
                async with client.post(url, data=BODY, headers=HEADERS) as answer:
                    await answer.read()

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(command["in_flight"])))
        return time.perf_counter() - began, time.process_time() - cpu


async def obey(send: Send) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        elapsed_s, cpu_s = await send(command)
        count = command["deliveries"]
        print(json.dumps({"rate": count / elapsed_s, "cpu_us": cpu_s / count * 1e6}), flush=True)


async def main(how: str) -> None:
    if how == "aiohttp":
        await obey(bare)
        return
    async with App(load(), loops=False, web=False).run() as service:
        parts = service.parts if how == "ours" else replace(service.parts, transport=Plain())
        await obey(lambda command: drain(parts, command))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
