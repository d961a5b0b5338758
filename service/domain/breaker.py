"""Breaker: one account that takes no orders is left alone for a while, then tried with one order.

Only what proves that nothing was placed counts against an account: it could not be reached, it said that it is full, it
refused us and not the order. An outcome that nobody knows says nothing about it, and neither does an account that refuses
one model.
"""

from dataclasses import dataclass, replace

from service.domain.patience import MINUTE_MS, SECOND_MS, jittered

OPENS_AT = 3
"""Failures in a row: one is an accident, two a coincidence."""
OPEN_MS, OPEN_LIMIT_MS = 5 * SECOND_MS, 5 * MINUTE_MS
"""Twice as long after each probe that failed, up to five minutes."""
WISH_LIMIT_MS = 60 * MINUTE_MS
"""A provider that asks for more patience than this gets no more."""
PROBE_MS = 2 * MINUTE_MS
"""A probe that did not come back by then was cut off; another one may go. Longer than any submit may take."""


@dataclass(frozen=True, slots=True)
class Breaker:
    failures: int = 0
    open_until: int | None = None
    """None: closed. Past: half open, one probe may go."""
    probed_at: int | None = None

    def state(self, now: int) -> str:
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def room(self, now: int) -> int | None:
        """How many orders it lets through now; None: as many as there is room for."""
        match self.state(now):
            case "closed":
                return None
            case "half_open" if self.probed_at is None or now - self.probed_at >= PROBE_MS:
                return 1
            case _:
                return 0

    def probing(self, now: int) -> "Breaker":
        return self if self.open_until is None else replace(self, probed_at=now)


def succeeded(breaker: Breaker) -> Breaker:
    """It answered an order with a yes, or with a no about the order itself."""
    return breaker if breaker == Breaker() else Breaker()


def unproven(breaker: Breaker) -> Breaker:
    """The probe was refused for its order's model: it says nothing, and the next order may be the probe."""
    return breaker if breaker.probed_at is None else replace(breaker, probed_at=None)


def failed(breaker: Breaker, now: int, jitter: float, retry_after_s: float | None = None) -> Breaker:
    failures = breaker.failures + 1
    if failures < OPENS_AT and breaker.open_until is None:
        return replace(breaker, failures=failures)
    if breaker.state(now) == "open":
        return breaker  # news of an order that left before it opened
    pause_ms = jittered(min(OPEN_MS * 2.0 ** min(failures - OPENS_AT, 20), OPEN_LIMIT_MS), jitter)
    wish_ms = min(int((retry_after_s or 0) * SECOND_MS), WISH_LIMIT_MS)
    return Breaker(failures, now + max(pause_ms, wish_ms))
