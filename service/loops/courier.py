"""The courier: takes what is in hand or due, lets every subscription's lane have its turn, sends and settles.

A fixed number of workers on the lanes, no task per delivery.
"""

import asyncio
import logging
from collections.abc import Sequence

from service.domain.due import LEASE_MS, Due
from service.domain.errors import Unavailable
from service.flow import deliver
from service.flow.lanes import Lanes
from service.parts import Parts

log = logging.getLogger("callsheet.courier")

WORKERS = 256
"""Attempts under way in this process; each subscription has its own, much smaller cap."""
HOLD = 1_000
"""Deliveries in lanes beyond which nothing more is claimed."""


class Courier:
    def __init__(self, parts: Parts, stopping: asyncio.Event) -> None:
        self._parts, self._stopping = parts, stopping
        self._lanes = Lanes()
        self._addressees = deliver.Addressees()
        self._idle: list[asyncio.Future[None]] = []
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work(), name="courier worker") for _ in range(WORKERS)]

    def under_way(self) -> list[asyncio.Task[None]]:
        self._wake(len(self._idle))
        return self._workers

    def drain(self) -> list[Due]:
        """Everything in hand that was not started."""
        return self._lanes.drain() + self._parts.courier.take(len(self._parts.courier))

    async def give_back(self, left: Sequence[Due]) -> None:
        try:
            await deliver.release(self._parts, left)
        except Unavailable:
            log.warning("courier.release_failed", extra={"count": len(left)})  # their leases run out by themselves

    async def round(self) -> bool:
        in_hand = self._parts.courier.take(HOLD)
        for due in in_hand:
            self._lanes.put(due)
        self._wake(len(in_hand))
        room = HOLD - self._lanes.waiting
        if room <= 0:
            return False
        claimed = await deliver.claim(self._parts, room, self._lanes.full())
        for due in claimed:
            self._lanes.put(due)
        self._wake(len(claimed))
        return len(claimed) >= deliver.CLAIM

    def _wake(self, count: int) -> None:
        for _ in range(min(count, len(self._idle))):
            future = self._idle.pop()
            if not future.done():
                future.set_result(None)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            due = self._lanes.next()
            if due is None:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(future)
                await future
                continue
            cap = None
            settlement = None
            try:
                settlement, cap = await deliver.try_once(self._parts, self._addressees, due)
            except Exception as error:
                log.error("courier.attempt_failed", exc_info=error)  # its lease runs out, and it comes again
            finally:
                self._lanes.done(due, cap)
            if settlement is not None:
                try:
                    await deliver.settle(self._parts, settlement)
                except Unavailable as error:
                    log.warning("courier.settle_failed", extra={"reason": str(error)[:200], "lease_ms": LEASE_MS})
