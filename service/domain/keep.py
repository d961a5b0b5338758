"""How long things are kept after they are over; each its own setting."""

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Keep:
    """Days. Whatever belongs to a task goes with the task at the latest."""

    tasks: int = 90
    """Ended tasks with everything that belongs to them."""
    events: int = 90
    """What happened, and the deliveries that told of it; what an active subscription is still to be told of stays. One that
    is paused for longer loses what is older."""
    receipts: int = 30
    """Callbacks and answers as they arrived."""
    attempts: int = 30
    """What subscribers answered, and when."""
    payloads: int = 7
    """Whole orders of ended tasks, inline pictures included; what is shown of an order stays with its task."""
    keys: int = 7
    """Idempotency keys."""


def before(now: int, days: int) -> int:
    return now - days * DAY_MS
