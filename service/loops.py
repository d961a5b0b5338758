"""The four loops (courier, reconciler, submitter, janitor): dumb rounds around flow verbs, supervised.

A loop runs its round, pauses until its bell rings or its interval is over, survives any error with growing pauses, and
leaves a pulse that `/readyz` reads. Absent on purpose: decisions; each round is a verb that tests call by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from service.domain.due import LEASE_MS
from service.domain.errors import Unavailable
from service.flow import deliver, reconcile, retain, submit
from service.flow.lanes import Lanes
from service.flow.reconcile import Questions
from service.parts import Parts, Placement

log = logging.getLogger("callsheet.loops")

WORKERS = 256
"""Attempts under way in this process; each subscription has its own, much smaller cap."""
HOLD = 1_000
"""Deliveries in lanes beyond which nothing more is claimed."""
COURIER_S, RECONCILER_S, SUBMITTER_S, JANITOR_S = 0.5, 1.0, 0.5, 60.0
"""Pauses between rounds when no bell rings: how late work is found that another process left."""
PAUSE_LIMIT_S = 30.0
STALLED_S = 120.0
"""A loop without a pulse for this long makes `/readyz` red."""
DRAIN_S = 20.0
"""At most this long after SIGTERM: longer than an attempt."""


@dataclass(slots=True)
class Loop:
    name: str
    round: Callable[[], Awaitable[bool]]
    """True: there was so much that the next round should come at once."""
    bell: asyncio.Event
    interval_s: float
    pulse_at: float = 0.0
    errors: int = 0
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self.bell.clear()
            pause_s = self.interval_s
            try:
                if await self.round():
                    pause_s = 0.0
                self.errors = 0
                self.pulse_at = asyncio.get_running_loop().time()
            except Exception as error:
                # Whatever it was, the work is still in the database, and the next round finds it.
                self.errors += 1
                pause_s = min(0.1 * 2**self.errors, PAUSE_LIMIT_S)
                known = isinstance(error, Unavailable)
                log.log(
                    logging.WARNING if known else logging.ERROR,
                    "loop.failed",
                    exc_info=None if known else error,
                    extra={"loop": self.name, "reason": str(error)[:200]},
                )
                await _either(stopping, stopping, pause_s)
                continue
            await _either(self.bell, stopping, pause_s)


async def _either(bell: asyncio.Event, stopping: asyncio.Event, pause_s: float) -> None:
    if pause_s <= 0:
        await asyncio.sleep(0)
        return
    if bell.is_set() or stopping.is_set():
        return
    waits = [asyncio.create_task(e.wait()) for e in {bell, stopping}]
    try:
        await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Loops:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopping = asyncio.Event()
        self._lanes = Lanes()
        self._addressees = deliver.Addressees()
        self._idle: list[asyncio.Future[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._sends: set[asyncio.Task[None]] = set()
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.loops = [
            Loop("courier", self._courier, parts.courier.bell, COURIER_S),
            Loop("reconciler", self._reconciler, parts.stale.bell, RECONCILER_S),
            Loop("submitter", self._submitter, parts.submitter.bell, SUBMITTER_S),
            Loop("janitor", self._janitor, asyncio.Event(), JANITOR_S),
        ]

    def start(self) -> None:
        now = asyncio.get_running_loop().time()
        self._parts.courier.open = self._parts.submitter.open = True
        self._workers = [asyncio.create_task(self._work(), name="courier worker") for _ in range(WORKERS)]
        for loop in self.loops:
            loop.pulse_at = now
            loop.task = asyncio.create_task(loop.run(self._stopping), name=loop.name)

    async def stop(self) -> None:
        """Start nothing more, finish what is under way, give the rest back."""
        self._parts.courier.open = self._parts.submitter.open = False
        self._stopping.set()
        running = [loop.task for loop in self.loops if loop.task is not None]
        left = self._lanes.drain() + self._parts.courier.take(len(self._parts.courier))
        self._wake(len(self._idle))
        under_way = [*running, *self._workers, *self._sends, *self._asking.values()]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        left += self._lanes.drain()
        try:
            await deliver.release(self._parts, left)
        except Unavailable:
            log.warning("courier.release_failed", extra={"count": len(left)})  # their leases run out by themselves

    def stalled(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        for loop in self.loops:
            self._parts.metrics.pulse(loop.name, now - loop.pulse_at)
        return [loop.name for loop in self.loops if now - loop.pulse_at > STALLED_S]

    # --- courier ---

    async def _courier(self) -> bool:
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

    # --- submitter ---

    async def _submitter(self) -> bool:
        for placement in self._parts.submitter.take(len(self._parts.submitter)):
            self._send(placement)
        room = self._parts.submitter.room()
        started = await submit.place_waiting(self._parts, min(room, 50)) if room > 0 else []
        for placement in started:
            self._send(placement)
        return len(started) >= 50

    def _send(self, placement: Placement) -> None:
        task = asyncio.create_task(self._sent(placement), name="submission")
        self._sends.add(task)
        self._parts.submitter.under_way = len(self._sends)
        task.add_done_callback(self._unsend)

    def _unsend(self, task: asyncio.Task[None]) -> None:
        self._sends.discard(task)
        self._parts.submitter.under_way = len(self._sends)

    async def _sent(self, placement: Placement) -> None:
        try:
            await submit.send(self._parts, placement)
        except Exception as error:
            # Nobody knows what the gateway heard. The submission stays `sending` until it is overdue, then `unknown`.
            log.error("submission.failed", exc_info=error)

    # --- reconciler ---

    async def _reconciler(self) -> bool:
        count, questions = await reconcile.claim(self._parts)
        for q in questions:
            if (q.provider, q.account) not in self._asking:  # else its tasks keep their lease and come again
                task = asyncio.create_task(self._asked(q), name=f"ask {q.provider}")
                self._asking[q.provider, q.account] = task
        return count >= reconcile.CLAIM

    async def _asked(self, questions: Questions) -> None:
        try:
            await reconcile.ask(self._parts, questions)
        except Exception as error:
            log.error("reconciler.ask_failed", exc_info=error)
        finally:
            del self._asking[questions.provider, questions.account]

    async def _janitor(self) -> bool:
        return await retain.sweep(self._parts)
