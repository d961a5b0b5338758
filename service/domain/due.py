"""Due: one delivery in a courier's hand, with what an attempt needs."""

from dataclasses import dataclass, field

LEASE_MS = 60_000
"""A claim that is not settled by then is anybody's again: four times the longest attempt."""


@dataclass(frozen=True, slots=True)
class Due:
    id: int
    app_id: str
    subscription_id: int
    version: int
    event_id: int
    type: str
    at: int
    attempts: int
    fence: int
    hurried: bool
    lease_until: int
    body: bytes = field(repr=False)
