"""The loops (courier, reconciler, submitter, janitor, and in every process the bookkeeper): dumb rounds around flow verbs,
supervised.

A loop runs its round, pauses until its bell rings or its interval is over, survives any error with growing pauses, and
leaves a pulse that `/readyz` reads. Absent on purpose: decisions; each round is a verb that tests call by itself.
"""

import asyncio
import logging

from service.domain.errors import Unavailable
from service.flow import learn, retain, settle, work
from service.loops.courier import Courier
from service.loops.pulse import Loop
from service.loops.reconciler import Reconciler
from service.loops.submitter import Submitter
from service.parts import Parts

log = logging.getLogger("callsheet.loops")

COURIER_S, RECONCILER_S, SUBMITTER_S, JANITOR_S, BOOKKEEPER_S = 0.5, 1.0, 0.5, 60.0, 1.0
"""Pauses between rounds when no bell rings: how late work is found that another process left."""
STALLED_S = 120.0
"""A loop without a pulse for this long makes `/readyz` red."""
JOB_BATCHES = 200
"""Of long work in one round of the janitor: some seconds, so that its pulse shows."""
DRAIN_S = 20.0
"""At most this long after SIGTERM: longer than an attempt."""


class Loops:
    def __init__(self, parts: Parts, working: bool = True) -> None:
        """`working`: False in a process that only answers HTTP, and only has to keep what it counts."""
        self._parts, self._working = parts, working
        self._stopping = asyncio.Event()
        self._courier, self._submitter, self._reconciler = (
            Courier(parts, self._stopping),
            Submitter(parts),
            Reconciler(parts, self._stopping),
        )
        self.loops = [Loop("bookkeeper", self._bookkeeper, asyncio.Event(), BOOKKEEPER_S)]
        if not working:
            return
        self.loops += [
            Loop("courier", self._courier.round, parts.courier.bell, COURIER_S),
            Loop("reconciler", self._reconciler.round, parts.stale.bell, RECONCILER_S),
            Loop("submitter", self._submitter.round, parts.submitter.bell, SUBMITTER_S),
            Loop("janitor", self._janitor, parts.janitor.bell, JANITOR_S),
        ]

    def start(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._working:
            self._parts.courier.open = self._parts.submitter.open = True
            self._courier.start()
        for loop in self.loops:
            loop.pulse_at = now
            loop.task = asyncio.create_task(loop.run(self._stopping), name=loop.name)

    async def stop(self) -> None:
        """Start nothing more, finish what is under way within a bound, give the rest back."""
        self._parts.courier.open = self._parts.submitter.open = False
        self._stopping.set()
        left = self._courier.drain()
        rounds = [loop.task for loop in self.loops if loop.task is not None]
        under_way = [*rounds, *self._courier.under_way(), *self._submitter.under_way(), *self._reconciler.under_way()]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._courier.give_back([*left, *self._courier.drain()])
        try:
            await learn.keep(self._parts)
        except Unavailable as error:
            log.warning("bookkeeper.keep_failed", extra={"reason": str(error)[:200]})

    def stalled(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        for loop in self.loops:
            self._parts.metrics.pulse(loop.name, now - loop.pulse_at)
        return [loop.name for loop in self.loops if now - loop.pulse_at > STALLED_S]

    async def _bookkeeper(self) -> bool:
        await learn.keep(self._parts)
        return False

    async def _janitor(self) -> bool:
        for _ in range(JOB_BATCHES):
            if self._stopping.is_set() or not await work.step(self._parts):
                break
        else:
            return True
        return await settle.tell_abandoned(self._parts) or await retain.sweep(self._parts)
