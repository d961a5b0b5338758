"""Who is sent next in this process: one lane per subscription, each with its own cap, all taking turns.

A lane that is slow fills up by itself and delays nobody. A lane proves itself before it may send several at once, and
lanes in trouble share half of the workers: however many subscribers hang, the others find a free one. In memory only,
and bounded: what does not fit goes back to the database, where it is due.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from service.domain.due import Due, Parcel

CONCURRENCY = 4
"""Attempts under way to one subscription, unless it asks for another number."""
WORKERS = 256
"""Attempts under way in this process."""
WAITING = 200
"""Parcels that one lane holds in memory."""
STOCK = WAITING // 2
"""Parcels that a claim brings to one lane, once it holds no more than this."""
WAITING_IN_TROUBLE = 2
TROUBLE = 0
"""In place of a cap."""
KNOWN = 10_000
"""Subscriptions of which is remembered how they did last time."""


@dataclass(slots=True)
class Lane:
    waiting: deque[Parcel] = field(default_factory=deque)
    in_flight: int = 0
    queued: bool = False
    """In the line of lanes that may send."""
    cap: int = 1
    troubled: bool = False
    peak: int = 0
    """What it held since it ran low last."""


class Lanes:
    def __init__(self, workers: int = WORKERS, waiting_limit: int = WAITING) -> None:
        self._lanes: dict[int, Lane] = {}
        self._ready: deque[int] = deque()
        self._ready_troubled: deque[int] = deque()
        self._troubled_in_flight = 0
        self._was_trouble = False
        self._troubled_limit = max(1, workers // 2)
        self._waiting_limit = waiting_limit
        self._known: OrderedDict[int, int] = OrderedDict()
        """The caps of those that answered with success last time, and who is in trouble."""
        self.waiting = 0
        self.in_flight = 0
        self._peak = 0
        self.low = False
        """A lane, or all together, hold half of what they held, or less: time to claim, before they are empty."""

    def put(self, parcel: Parcel) -> bool:
        """False: its lane is full, and the parcel goes back."""
        subscription_id = parcel[0].subscription_id
        lane = self._lanes.get(subscription_id)
        if lane is None:
            known = self._known.get(subscription_id, 1)
            lane = self._lanes[subscription_id] = Lane(cap=max(1, known), troubled=known == TROUBLE)
        if self._is_full(lane):
            return False
        lane.waiting.append(parcel)
        self.waiting += 1
        lane.peak = max(lane.peak, len(lane.waiting))
        self._peak = max(self._peak, self.waiting)
        self._line_up(subscription_id, lane)
        return True

    @property
    def ready(self) -> bool:
        """Some lane may send."""
        return bool(self._ready or self._ready_troubled)

    def next(self) -> Parcel | None:
        """The oldest of the lane whose turn it is."""
        trouble = bool(self._ready_troubled) and self._troubled_in_flight < self._troubled_limit
        if trouble and not (self._ready and self._was_trouble):
            subscription_id = self._ready_troubled.popleft()
        elif self._ready:
            subscription_id = self._ready.popleft()
        else:
            return None
        lane = self._lanes[subscription_id]
        self._was_trouble = lane.troubled  # then the others have the next turn
        lane.queued = False
        parcel = lane.waiting.popleft()
        lane.in_flight += 1
        self._troubled_in_flight += lane.troubled
        self.in_flight += 1
        self.waiting -= 1
        if len(lane.waiting) * 2 <= lane.peak:
            lane.peak, self.low = 0, True
        if self.waiting * 2 <= self._peak:
            self._peak, self.low = 0, True
        self._line_up(subscription_id, lane)
        return parcel

    def done(self, subscription_id: int, worked: bool | None, cap: int | None = None) -> None:
        """An attempt is over; None: there was none after all. `cap` as the subscription has it now."""
        lane = self._lanes[subscription_id]
        self._troubled_in_flight -= lane.troubled
        lane.in_flight -= 1
        self.in_flight -= 1
        if worked is not None:
            if lane.troubled is worked:
                self._turn(subscription_id, lane, troubled=not worked)
            lane.cap = (cap or CONCURRENCY) if worked else 1
            known = lane.cap if worked else TROUBLE
            if self._known.get(subscription_id) != known:
                self._remember(subscription_id, known)
        self._line_up(subscription_id, lane)
        self._forget_if_empty(subscription_id, lane)

    def full(self) -> list[int]:
        return [i for i, lane in self._lanes.items() if self._is_full(lane)]

    def stocked(self) -> list[int]:
        """Lanes for which nothing has to be claimed yet."""
        return [i for i, lane in self._lanes.items() if len(lane.waiting) * 2 > self._waiting_limit or self._is_full(lane)]

    def room(self, hold: int) -> int:
        """How much more may be taken in. What is stocked does not count: nothing is taken for it, and it stops nobody else."""
        return hold - self.waiting + sum(len(self._lanes[i].waiting) for i in self.stocked())

    def empty(self, subscription_id: int) -> list[Due]:
        """What waits for one subscription goes back."""
        lane = self._lanes.get(subscription_id)
        if lane is None:
            return []
        left = [due for parcel in lane.waiting for due in parcel]
        self.waiting -= len(lane.waiting)
        lane.waiting.clear()
        if lane.queued:
            (self._ready_troubled if lane.troubled else self._ready).remove(subscription_id)
            lane.queued = False
        self._forget_if_empty(subscription_id, lane)
        return left

    def in_hand(self) -> list[Due]:
        """All that waits."""
        return [due for lane in self._lanes.values() for parcel in lane.waiting for due in parcel]

    def drain(self) -> list[Due]:
        """Everything that was not started."""
        return [due for subscription_id in list(self._lanes) for due in self.empty(subscription_id)]

    def _is_full(self, lane: Lane) -> bool:
        return len(lane.waiting) >= (WAITING_IN_TROUBLE if lane.troubled else self._waiting_limit)

    def _turn(self, subscription_id: int, lane: Lane, troubled: bool) -> None:
        if lane.queued:
            (self._ready_troubled if lane.troubled else self._ready).remove(subscription_id)
            lane.queued = False
        lane.troubled = troubled
        self._troubled_in_flight += lane.in_flight if troubled else -lane.in_flight

    def _remember(self, subscription_id: int, cap: int) -> None:
        self._known.pop(subscription_id, None)
        self._known[subscription_id] = cap
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _line_up(self, subscription_id: int, lane: Lane) -> None:
        if lane.waiting and not lane.queued and lane.in_flight < lane.cap:
            lane.queued = True
            (self._ready_troubled if lane.troubled else self._ready).append(subscription_id)

    def _forget_if_empty(self, subscription_id: int, lane: Lane) -> None:
        if not lane.waiting and not lane.in_flight:
            self._lanes.pop(subscription_id, None)
