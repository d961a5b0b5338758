"""The courier: takes what is in hand or due, lets every subscription's lane have its turn, sends and settles.

A fixed number of workers on the lanes, no task per delivery.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from service.domain.delivery import Told
from service.domain.due import LEASE_MS, Due, Parcel
from service.domain.errors import Unavailable
from service.domain.leisure import Leisure
from service.flow import claim, deliver, settle
from service.flow.lanes import STOCK, WORKERS, Lanes
from service.flow.recall import look_again
from service.parts import Parts

log = logging.getLogger("callsheet.courier")

HOLD = 1_000
"""Parcels in lanes beyond which nothing more is claimed."""


CLAIMS_S = 0.05
"""Between two claims while work is handed over: one for each callback would cost more than its delivery."""
ELSEWHERE_S = 0.02
"""Before the next look when every lane that is due is in the hands of other processes: about as long as a claim takes."""
UNSETTLED = 1_000
"""Attempts that wait to be settled, beyond which nobody starts another: what is not settled is sent again after a crash."""
TOGETHER = 256
"""Attempts settled in one commit at most."""


class Courier:
    def __init__(self, parts: Parts, stopping: asyncio.Event) -> None:
        self._parts, self._stopping = parts, stopping
        self._lanes = Lanes()
        self._addressees = deliver.Addressees()
        self._idle: list[asyncio.Future[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._working = 0
        self._tried: deque[tuple[Parcel, deliver.Tried]] = deque()
        self._any, self._room = asyncio.Event(), asyncio.Event()
        self._claimed_at = 0.0
        self._ring: asyncio.TimerHandle | None = None
        self._more = False
        """The last claim left something behind, for want of room or because it was in other hands."""
        self._looked = claim.FEW
        """Lanes that the next claim takes for itself."""
        self._leisure, self._gap = Leisure(), asyncio.Lock()
        parts.lateness.heard = self._felt

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work(), name="courier worker") for _ in range(WORKERS)]
        self._working = len(self._workers)
        self._workers.append(asyncio.create_task(self._settle(), name="courier settles"))

    def under_way(self) -> list[asyncio.Task[None]]:
        self._wake(len(self._idle))
        self._any.set()
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
        handed = tray.take(HOLD)
        left = self._put([(due,) for due in handed])
        if self._parts.recall.is_set():
            self._parts.recall.clear()
            await look_again(self._parts, self._lanes.in_hand())
        at_once = False
        if not handed or self._claim_is_due():
            at_once = await self._claim(left)
        tray.full = self._addressees.locked(self._parts.clock()).union(self._lanes.full())
        tray.under_way = self._lanes.waiting + self._lanes.in_flight
        if left:
            await self.give_back(left)
        return len(tray) > 0 or at_once

    async def _claim(self, left: list[Due]) -> bool:
        """True: there is so much that the next claim should come at once. What has no place is left."""
        self._claimed_at = asyncio.get_running_loop().time()
        if self._ring is not None:
            self._ring.cancel()
            self._ring = None
        stocked = self._lanes.stocked()
        room = self._lanes.room(HOLD)
        if room <= 0:
            self._more = True
            return False
        passed_over = self._addressees.locked(self._parts.clock()).union(stocked)
        claimed, looked = await claim.turns(self._parts, room, passed_over, STOCK, self._looked)
        left += self._put(claimed)
        many, more_lanes = sum(map(len, claimed)), looked >= self._looked
        self._looked = claim.LOOKED if more_lanes and many < min(room, claim.CLAIM) else claim.FEW
        self._more = bool(stocked) or many >= STOCK or more_lanes
        if not more_lanes and not (many and self._more) and await claim.left_behind(self._parts, passed_over):
            self._more = True
            if not many:
                self._ring_in(ELSEWHERE_S)
        return more_lanes or many >= claim.CLAIM

    def _claim_is_due(self) -> bool:
        """What is handed over needs no claim. Whatever else is due now waits a moment, and then the bell is rung for it."""
        wait_s = self._claimed_at + CLAIMS_S - asyncio.get_running_loop().time()
        if self._more or wait_s <= 0:
            return True
        self._ring_in(wait_s)
        return False

    def _ring_in(self, wait_s: float) -> None:
        if self._ring is None:
            self._ring = asyncio.get_running_loop().call_later(wait_s, self._rung)

    def _rung(self) -> None:
        self._ring = None
        self._parts.courier.bell.set()

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

    def _felt(self, busy: float, callers: int, over_s: float) -> None:
        self._leisure.felt(busy, callers, over_s, self._parts.courier.promised)

    async def _leave_room(self) -> None:
        """One worker at a time, so that a stop waits for one gap and not for all of them."""
        async with self._gap:
            wait_s = 0.0 if self._stopping.is_set() else self._leisure.wait_s(asyncio.get_running_loop().time())
            if wait_s > 0:
                await asyncio.sleep(wait_s)

    async def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._more and self._leisure.gap_s > 0 and self._lanes.ready:
                    await self._leave_room()
                    if self._stopping.is_set():
                        break  # nobody wakes the idle any more
                parcel = self._next()
                if parcel is None:
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._idle.append(future)
                    await future
                    continue
                await self._try(parcel)
                while len(self._tried) >= UNSETTLED:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._working -= 1
            self._any.set()

    def _next(self) -> Parcel | None:
        parcel = self._lanes.next()
        if self._lanes.low:
            self._lanes.low = False
            if self._more:
                self._parts.courier.bell.set()
        return parcel

    async def _try(self, parcel: Parcel) -> None:
        tried = deliver.Tried(None)
        worked: bool | None = None
        try:
            tried = await deliver.try_once(self._parts, self._addressees, parcel)
            worked = None if tried.settlement is None else isinstance(tried.settlement.outcome, Told)
        except Exception as error:
            log.error("courier.attempt_failed", exc_info=error)  # its lease runs out, and it comes again
            return
        finally:
            self._lanes.done(parcel[0].subscription_id, worked, tried.concurrency)
            self._wake(1)
        self._tried.append((parcel, tried))
        self._any.set()

    async def _settle(self) -> None:
        """Whatever came while the last commit ran shares the next one."""
        while self._working or self._tried:
            if not self._tried:
                self._any.clear()
                await self._any.wait()
                continue
            some = [self._tried.popleft() for _ in range(min(len(self._tried), TOGETHER))]
            self._room.set()
            try:
                await self._finish([tried.settlement for _, tried in some if tried.settlement is not None])
                if left := [due for parcel, tried in some if tried.settlement is None for due in parcel]:
                    await self.give_back(left)
            except Exception as error:
                log.error("courier.settle_failed", exc_info=error)  # their leases run out, and they come again

    async def _finish(self, settlements: Sequence[settle.Settlement]) -> None:
        if not settlements:
            return
        try:
            settled = await settle.settle(self._parts, settlements)
        except Unavailable as error:
            log.warning("courier.settle_failed", extra={"reason": str(error)[:200], "lease_ms": LEASE_MS})
        except Exception as error:
            if len(settlements) == 1:
                log.error("courier.settle_failed", exc_info=error)
            for one in settlements if len(settlements) > 1 else ():  # what cannot be stored fails alone
                await self._finish([one])
        else:
            if left := [due for subscription_id in settled.held for due in self._lanes.empty(subscription_id)]:
                await self.give_back(left)
