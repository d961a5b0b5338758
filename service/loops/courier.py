"""The courier: takes what is in hand or due, lets every subscription's lane have its turn, sends and settles.

A fixed number of workers on the lanes, no task per delivery.
"""

import asyncio
import logging
from collections.abc import Sequence

from service.domain.delivery import Told
from service.domain.due import LEASE_MS, Due, Parcel
from service.domain.errors import Unavailable
from service.flow import claim, deliver, settle
from service.flow.lanes import WORKERS, Lanes
from service.parts import Parts

log = logging.getLogger("callsheet.courier")

HOLD = 1_000
"""Parcels in lanes beyond which nothing more is claimed."""


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
            await claim.release(self._parts, left)
        except Unavailable:
            log.warning("courier.release_failed", extra={"count": len(left)})  # their leases run out by themselves

    async def round(self) -> bool:
        tray = self._parts.courier
        left = self._put([(due,) for due in tray.take(HOLD)])
        room = self._lanes.room(HOLD)
        claimed = await claim.claim(self._parts, room, self._lanes.full()) if room > 0 else []
        left += self._put(claimed)
        tray.full = frozenset(self._lanes.full())
        tray.under_way = self._lanes.waiting + self._lanes.in_flight
        if left:
            await self.give_back(left)
        return len(tray) > 0 or sum(map(len, claimed)) >= claim.CLAIM

    def _put(self, parcels: Sequence[Parcel]) -> list[Due]:
        """What has no place."""
        left = [due for parcel in parcels if not self._lanes.put(parcel) for due in parcel]
        self._wake(len(parcels))
        return left

    def _wake(self, count: int) -> None:
        for _ in range(min(count, len(self._idle))):
            future = self._idle.pop()
            if not future.done():
                future.set_result(None)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            parcel = self._lanes.next()
            if parcel is None:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(future)
                await future
                continue
            subscription_id = parcel[0].subscription_id
            tried = deliver.Tried(None)
            worked: bool | None = None
            try:
                tried = await deliver.try_once(self._parts, self._addressees, parcel)
                worked = None if tried.settlement is None else isinstance(tried.settlement.outcome, Told)
            except Exception as error:
                log.error("courier.attempt_failed", exc_info=error)  # its lease runs out, and it comes again
                continue
            finally:
                self._lanes.done(subscription_id, worked, tried.concurrency)
                self._wake(1)
            try:
                await self._finish(parcel, tried)
            except Exception as error:
                log.error("courier.settle_failed", exc_info=error)  # the same; and this worker goes on

    async def _finish(self, parcel: Parcel, tried: deliver.Tried) -> None:
        if tried.settlement is None:
            await self.give_back(parcel)
            return
        try:
            settled = await settle.settle(self._parts, tried.settlement)
        except Unavailable as error:
            log.warning("courier.settle_failed", extra={"reason": str(error)[:200], "lease_ms": LEASE_MS})
        else:
            if settled.held and (left := self._lanes.empty(parcel[0].subscription_id)):
                await self.give_back(left)
