"""Timekeeping: whether our clock goes by a provider's. A guess about a lost order goes by the time it was sent, and a clock
that was wrong then makes it the job of another.

A provider's clock is heard with each of its answers; since then ours must have run as a clock does that nobody can set.
"""

from typing import NamedTuple

OFF_MS = 2_500
"""Their whole seconds, and the way of the answer."""
STEP_MS = 1_000
"""Both together stay below the skew that a guess allows for."""


class Agreed(NamedTuple):
    """The last time a provider's clock and ours said the same."""

    at: int
    steady_ms: int
    """By a clock that nobody sets."""


def compare(date: int, now: int, steady_ms: int) -> Agreed | None:
    return Agreed(now, steady_ms) if abs(now - date - 500) <= OFF_MS else None


def right(agreed: Agreed | None, now: int, steady_ms: int) -> bool:
    """As far as we know: who was never heard is not known to agree."""
    return agreed is not None and abs((now - agreed.at) - (steady_ms - agreed.steady_ms)) <= STEP_MS
