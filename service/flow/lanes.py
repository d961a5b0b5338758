"""Who is sent next: one lane per subscription, each with its own cap, all taking turns.

A lane that is slow fills up by itself and delays nobody; a full lane is named to the claim, which then passes over it.
In memory only, and bounded: what does not fit stays due in the database.
"""

from collections import deque
from dataclasses import dataclass, field

from service.domain.due import Due

CONCURRENCY = 4
"""Attempts under way to one subscription, unless it asks for another number."""
WAITING = 200
"""Deliveries that one lane holds in memory."""


@dataclass(slots=True)
class Lane:
    waiting: deque[Due] = field(default_factory=deque)
    in_flight: int = 0
    queued: bool = False
    """In the line of lanes that may send."""
    cap: int = CONCURRENCY


class Lanes:
    def __init__(self, waiting_limit: int = WAITING) -> None:
        self._lanes: dict[int, Lane] = {}
        self._ready: deque[int] = deque()
        self._waiting_limit = waiting_limit
        self.waiting = 0

    def put(self, due: Due) -> None:
        lane = self._lanes.setdefault(due.subscription_id, Lane())
        lane.waiting.append(due)
        self.waiting += 1
        self._line_up(due.subscription_id, lane)

    def next(self) -> Due | None:
        """The oldest of the lane whose turn it is."""
        if not self._ready:
            return None
        subscription_id = self._ready.popleft()
        lane = self._lanes[subscription_id]
        lane.queued = False
        due = lane.waiting.popleft()
        lane.in_flight += 1
        self.waiting -= 1
        self._line_up(subscription_id, lane)
        return due

    def done(self, due: Due, cap: int | None = None) -> None:
        """An attempt is over; `cap` as the subscription has it now."""
        lane = self._lanes[due.subscription_id]
        lane.in_flight -= 1
        lane.cap = cap or CONCURRENCY
        self._line_up(due.subscription_id, lane)
        if not lane.waiting and not lane.in_flight:
            del self._lanes[due.subscription_id]

    def full(self) -> list[int]:
        return [i for i, lane in self._lanes.items() if len(lane.waiting) >= self._waiting_limit]

    def drain(self) -> list[Due]:
        """Everything that was not started."""
        left = [due for lane in self._lanes.values() for due in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.queued = False
        self._ready.clear()
        self.waiting = 0
        return left

    def _line_up(self, subscription_id: int, lane: Lane) -> None:
        if lane.waiting and not lane.queued and lane.in_flight < lane.cap:
            lane.queued = True
            self._ready.append(subscription_id)
