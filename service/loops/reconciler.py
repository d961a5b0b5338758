"""The reconciler: every account has its own turns, so that a slow one holds up nobody, and pauses as its limits ask."""

import asyncio
import logging

from service.domain.errors import Unavailable
from service.domain.route import Key
from service.flow import learn, reconcile
from service.parts import Parts

PAUSE_LIMIT_MS = 2_000
"""Between two turns of one account; longer pauses are left to the rounds."""

log = logging.getLogger("callsheet.reconciler")


class Reconciler:
    def __init__(self, parts: Parts, stopping: asyncio.Event) -> None:
        self._parts, self._stopping = parts, stopping
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._learned_at = 0

    def under_way(self) -> list[asyncio.Task[None]]:
        return list(self._asking.values())

    async def round(self) -> bool:
        for key in await reconcile.keys(self._parts):
            if key not in self._asking:
                self._asking[key] = asyncio.create_task(self._turns(key), name=f"ask {key[0]}")
        if self._parts.clock() - self._learned_at >= learn.EVERY_MS:
            self._learned_at = self._parts.clock()
            await learn.settle(self._parts)
        return False

    async def _turns(self, key: Key) -> None:
        try:
            while not self._stopping.is_set():
                turn = await reconcile.turn(self._parts, key)
                if turn.again_at is None or turn.again_at - self._parts.clock() > PAUSE_LIMIT_MS:
                    return  # the next round finds what is left
                await _pause(self._stopping, max(0, turn.again_at - self._parts.clock()) / 1000)
        except Unavailable as error:
            log.warning("reconciler.ask_failed", extra={"reason": str(error)[:200]})
        except Exception as error:
            log.error("reconciler.ask_failed", exc_info=error)
        finally:
            del self._asking[key]


async def _pause(stopping: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await stopping.wait()
    except TimeoutError:
        pass
