"""Due: one delivery in a courier's hand, with what an attempt needs. Parcel: what travels as one message."""

from typing import NamedTuple

LEASE_MS = 60_000
"""A claim that is not settled by then is anybody's again: four times the longest attempt."""


class Due(NamedTuple):
    id: int
    app_id: str
    subscription_id: int
    version: int
    """Of the subscription, when it was claimed: what couriers keep of older ones is old."""
    type: str
    at: int
    attempts: int
    spent: int
    fence: int
    hurried: bool
    lease_until: int
    body: bytes
    pace_id: int | None = None
    """Of the address it was claimed for, which its subscription may have left since; None: it keeps no pace."""

    def __repr__(self) -> str:
        return f"Due(id={self.id}, fence={self.fence})"  # a body holds a caller's prompt


Parcel = tuple[Due, ...]
"""Deliveries of one subscription that are told in one message: one, or several folded into a digest. Never empty."""
