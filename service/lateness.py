"""How late this process's event loop is: as long lies in its sockets whatever has come, and no queue of ours shows it.

A timer that should ring twenty times a second, and how much later it did. Absent on purpose: what follows from that
(`domain/crowd.py`).
"""

import asyncio
import time
from collections.abc import Callable

EVERY_S = 0.05
CROWD = 256
"""Newcomers in one turn of the loop: it is they who make it late."""


class Lateness:
    """Never late until it is started."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._due_s = 0.0
        self._before_s = self._last_s = 0.0
        self._came = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._wait()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._before_s = self._last_s = 0.0

    def to_a_newcomer_s(self) -> float:
        """The middle one of the last two rings and the one that is due: one pause alone (a large file read, a process that was
        stopped and goes on) makes nobody late. Unless a crowd has come meanwhile: then the one that is due counts."""
        if self._timer is None:
            return 0.0
        self._came += 1
        if self._came > CROWD:
            return self._clock_s() - self._due_s
        one, other, due = self._before_s, self._last_s, self._clock_s() - self._due_s
        return max(min(one, other), min(max(one, other), due))

    def _wait(self) -> None:
        self._due_s = self._clock_s() + EVERY_S
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._rings)

    def _rings(self) -> None:
        self._came = 0
        self._before_s, self._last_s = self._last_s, self._clock_s() - self._due_s
        self._wait()
