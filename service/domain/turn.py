"""Turns of a lane: how much of what waits for one subscription may be sent now, and when to look again.

Pure: the store brings the rows, `flow/claim.py` carries out what is decided here. Absent on purpose: what becomes of a
single delivery; `domain/delivery.py` decides that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from service.domain.delivery import THROTTLE_FLOOR_S, Outcome, Throttled, Told, failing_since

BREAKER_FAILURES = 10
"""Failures in a row that open the breaker: as many as one delivery has tries, so that a single one never opens it."""
PROBE_S, PROBE_LIMIT_S = 30.0, 3_600.0
"""The first pause of an open breaker, doubled by each probe that fails, up to an hour: a subscriber that comes back after a
night hears of it within the hour."""
PROBE_JITTER = 0.2
PACE_MS = 1_000
"""Between two messages to one address of a chat service: Slack's documented rate, and the others allow as much."""
BURST_MS = 1_000
"""How far ahead of its rate a subscription may be: one second's worth at once."""
RELOOK_MS = 100
"""After a look that took something: a transaction that was under way then may have added to the lane since."""
IDLE_MS = 65_000
"""Before an empty lane is closed: longer than any transaction may last."""
ALONE_AFTER = 2
"""A notice that failed this often in company is told alone: it may be the one that the others fail for."""

LOCKED = "no key of this service opens its address; put back the one that sealed it (CALLSHEET_ENCRYPTION_KEYS)"

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Health:
    """How a subscriber has behaved lately."""

    failures: int = 0
    held_until: int = 0
    failing_since: int | None = None

    @property
    def open(self) -> bool:
        """Its breaker. One probe at a time goes through when `held_until` is over."""
        return self.failures >= BREAKER_FAILURES


WELL = Health()


def felt(health: Health, outcome: Outcome, now: int, jitter: float) -> Health:
    """After one more attempt."""
    if isinstance(outcome, Told):
        return WELL
    since = failing_since(health.failing_since, outcome, now)
    held_until = health.held_until
    if isinstance(outcome, Throttled) and outcome.retry_after_s is not None:
        held_until = max(held_until, now + round(min(outcome.retry_after_s, THROTTLE_FLOOR_S) * 1000))
    if health.open and now < health.held_until:
        return Health(health.failures, held_until, since)  # it left before the breaker opened, and says nothing new
    failures = health.failures + 1
    if failures >= BREAKER_FAILURES:
        pause_s = min(PROBE_S * 2.0 ** min(failures - BREAKER_FAILURES, 30), PROBE_LIMIT_S)
        held_until = max(held_until, now + round(pause_s * (1 - PROBE_JITTER + 2 * PROBE_JITTER * jitter) * 1000))
    return Health(failures, held_until, since)


def tokens(rate: int, spent_until: int, now: int) -> int:
    """How many notices its rate allows now."""
    return max(0, (now + BURST_MS - max(spent_until, now)) * rate // 1000)


def spend(rate: int, spent_until: int, now: int, count: int) -> int:
    """`spent_until` after so many more."""
    return max(spent_until, now) + -(-count * 1000 // rate)


def tokens_at(rate: int, spent_until: int) -> int:
    """When there is one again."""
    return spent_until - BURST_MS + -(-1000 // rate)


def idle_after(idle_ms: int) -> int | None:
    """The pause after one more look that found nothing, given the one before; None: the lane is closed. Doubled, so that what
    a slow transaction adds waits about as long again as the transaction took, and a quiet lane costs a dozen looks."""
    return None if idle_ms >= IDLE_MS else min(max(RELOOK_MS, 2 * idle_ms), IDLE_MS)


def mixed(fresh: Sequence[Row], again: Sequence[Row], most: int) -> list[Row]:
    """Fresh news first, but a quarter of each turn is for what failed before, so that neither starves behind the other."""
    reserved = min(len(again), max(1, most // 4))
    taken = list(fresh[: most - reserved])
    return taken + list(again[: most - len(taken)])


class Place(NamedTuple):
    """Where a delivery waits: what is known of its subscription and its lane."""

    status: str
    opens: bool
    """Some key opens its address."""
    failures: int
    held_until: int
    look_at: int | None
    """When the lane has its turn."""
    rate: int | None
    spent_until: int
    pace_at: int | None
    """When its address may be written to again; None: it keeps no pace."""


class Expected(NamedTuple):
    """When a delivery is tried, or a little later; and what it waits for, when that is something else than its own schedule."""

    at: int | None
    reason: str | None = None


def expected(due_at: int, now: int, place: Place) -> Expected:
    soonest = max(due_at, now)
    free_at = tokens_at(place.rate, place.spent_until) if place.rate is not None else 0
    match place:
        case Place(status=status) if status != "active":
            return Expected(None, f"its subscription is {status}")
        case Place(opens=False):
            return Expected(due_at, LOCKED)
        case Place(failures=failures) if failures >= BREAKER_FAILURES:
            at = max(due_at, place.held_until, place.look_at or 0)
            return Expected(at, f"its subscriber failed {failures} times in a row, and is tried with one notice at a time")
        case Place(held_until=held_until) if held_until > soonest:
            return Expected(held_until, "its subscriber asked for a pause")
        case Place(pace_at=int(pace_at)) if pace_at > soonest + PACE_MS:
            return Expected(due_at, "another message is on its way to its address, which takes one at a time")
        case Place(pace_at=int(pace_at)) if pace_at > soonest:
            return Expected(pace_at, "its address takes one message a second")
        case _ if free_at > soonest:
            return Expected(free_at, f"its subscription has used up its rate of {place.rate} a second")
    return Expected(due_at)
