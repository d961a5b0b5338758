"""The submitter: sends what was just committed, and what waited to be placed."""

import asyncio
import logging

from service.flow import place
from service.parts import Parts, Placement

log = logging.getLogger("callsheet.submitter")

LOOK_MS = 500
"""Between two looks at those who wait while there is work in hand: a look is a transaction, and the next order in hand would
wait for it. Nobody is in hand who came after one that waits."""


class Submitter:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sends: set[asyncio.Task[None]] = set()
        self._looked_at = 0

    def under_way(self) -> list[asyncio.Task[None]]:
        return list(self._sends)

    async def round(self) -> bool:
        in_hand = self._parts.submitter.take(len(self._parts.submitter))
        for placement in in_hand:
            self._send(placement)
        now = self._parts.clock()
        if in_hand and now - self._looked_at < LOOK_MS:
            return False
        self._looked_at = now
        room = self._parts.submitter.room()
        started = await place.place_waiting(self._parts, min(room, 50)) if room > 0 else []
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
            await place.send(self._parts, placement)
        except Exception as error:
            # Nobody knows what the gateway heard. The submission stays `sending` until it is overdue, then `unknown`.
            log.error("submission.failed", exc_info=error)
