"""The database's clock, followed by each process: what one machine writes and another claims is told by one clock.

Between two looks it goes on with a steady clock of this machine, so that no statement has to ask, and a wrong clock, or one
that is set while we run, changes nothing. Absent on purpose: I/O; the engine looks now and then and says what it saw.
"""

import time
from collections.abc import Callable

EVERY_S = 10.0
"""Between two looks: clocks drift by a millisecond meanwhile, or by whatever a failover to another server costs."""


def steady_ns() -> int:
    """Goes on while the machine sleeps, where the system can tell."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Following:
    def __init__(self, steady_ns: Callable[[], int] = steady_ns, wall_ns: Callable[[], int] = time.time_ns) -> None:
        """Until the first look it is this machine's clock."""
        self.steady_ns = steady_ns
        self._ahead_ns = wall_ns() - steady_ns()

    def __call__(self) -> int:
        return (self.steady_ns() + self._ahead_ns) // 1_000_000

    def seen(self, asked_ns: int, theirs_us: int, answered_ns: int) -> None:
        """The database read its clock somewhere between question and answer. Ours is moved only when that proves it wrong,
        and only as far: the way there and back takes different times, and a clock that trembles is of no use."""
        lowest, highest = theirs_us * 1_000 - answered_ns, theirs_us * 1_000 - asked_ns
        self._ahead_ns = min(max(self._ahead_ns, lowest), highest)
