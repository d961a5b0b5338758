"""How late this process's event loop is, and how full: as long lies in its sockets whatever has come, and no queue of ours
shows it.

A timer that should ring twenty times a second, how much later it did, and for what part of that time the loop was at work.
Absent on purpose: what follows from that (`domain/crowd.py`, `domain/leisure.py`).
"""

import asyncio
import time
from collections.abc import Callable

EVERY_S = 0.05
CROWD = 256
"""Newcomers in one turn of the loop: it is they who make it late."""


class Lateness:
    """Never late until it is started."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic, worked_s: Callable[[], float] = time.thread_time) -> None:
        """`worked_s`: the processor's time of the thread that asks."""
        self._clock_s, self._worked_s = clock_s, worked_s
        self.heard: Callable[[float, int, float], None] | None = None
        """Told at each ring: the share of its time in which the loop was at work since the last one, the newcomers, and how
        long it was."""
        self._due_s = 0.0
        self._before_s = self._last_s = 0.0
        self._came = 0
        self._rang_s = self._worked_until_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._rang_s, self._worked_until_s = self._clock_s(), self._worked_s()
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
        now_s, worked_s, came = self._clock_s(), self._worked_s(), self._came
        over_s, busy_s = now_s - self._rang_s, worked_s - self._worked_until_s
        self._rang_s, self._worked_until_s, self._came = now_s, worked_s, 0
        self._before_s, self._last_s = self._last_s, now_s - self._due_s
        if self.heard is not None and over_s > 0:
            self.heard(busy_s / over_s, came, over_s)
        self._wait()
