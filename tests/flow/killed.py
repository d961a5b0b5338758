"""A courier that is killed outright between a send and its settlement, again and again: real processes, a real file.

    python -m tests.flow.killed DATABASE ROUNDS     prints one line for each life: how many it had sent when it died

One nursery forks a life at a time. Each life's clock is a minute ahead of the one before, so that the leases that died
with it are over; it sends for real, and kills itself after a number of answers that is drawn for it. The last one lives.
"""

import asyncio
import os
import random
import signal
import sys
import time
from ipaddress import ip_network

import httpx

from service.accounts import Accounts
from service.channels.registry import CHANNELS
from service.domain.catalog import Catalog
from service.domain.ids import Ids
from service.egress import Guard, Transport
from service.flow import deliver
from service.parts import Parts
from service.signing import CallbackTokens, Seal
from service.store.sqlite import SQLite
from tests.world import ENCRYPTION, SIGNING

LEASE_OVER_MS = 61_000


class Mortal(httpx.AsyncBaseTransport):
    """Dies after so many answers, before anybody hears of the last."""

    def __init__(self, inner: Transport, lives: int | None) -> None:
        self._inner, self._lives = inner, lives
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        self.sent += 1
        if self.sent == self._lives:
            print(f"killed after {self.sent}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


async def live(path: str, ahead_ms: int, lives: int | None) -> None:
    def clock() -> int:
        return time.time_ns() // 1_000_000 + ahead_ms

    db = SQLite(path, Ids(clock, random.random), clock)
    await db.start()
    wire = Mortal(Transport(Guard([ip_network("127.0.0.0/8")])), lives)
    parts = Parts(
        db=db,
        clock=clock,
        random=random.random,
        transport=wire,
        tokens=CallbackTokens(SIGNING, clock),
        seal=Seal(ENCRYPTION),
        accounts=Accounts([]),
        catalog=Catalog.default(),
        channels=CHANNELS,
        public_url="https://callsheet.test",
    )
    addressees = deliver.Addressees()
    while await deliver.deliver_due(parts, addressees, 10):
        pass
    print(f"ended after {wire.sent}", flush=True)
    await db.stop()


def main(path: str, rounds: int) -> None:
    drawn = random.Random(rounds)
    for number in range(rounds + 1):
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(live(path, (number + 1) * LEASE_OVER_MS, drawn.randrange(1, 16) if number < rounds else None))
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
