"""One loop: rounds, pauses, a pulse."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from service.domain.errors import Unavailable

log = logging.getLogger("callsheet.loops")

PAUSE_LIMIT_S = 30.0
"""Between rounds that fail again and again."""


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
