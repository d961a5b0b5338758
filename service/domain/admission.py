"""Admission: which of the waiting orders start now, and with which account.

Fair between apps at every account by itself (`domain/sharing.py`); by rank within an app. An order takes the first
account of its route that has room, and begins one further on with every try.
"""

from collections import deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from service.domain.route import Key
from service.domain.sharing import Shares

PLENTY = 1 << 40
"""Room of an account without a cap."""


@dataclass(frozen=True, slots=True)
class Caps:
    """None: no cap."""

    in_flight: int | None = None
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    task_id: int
    app_id: str
    route: Sequence[Key]
    rank: int
    """Smaller goes first."""
    tries: int


def room(caps: Caps, in_flight: int, sent_count: int, breaker_room: int | None) -> int:
    free = PLENTY if caps.in_flight is None else caps.in_flight - in_flight
    quota = PLENTY if caps.per_minute is None else caps.per_minute - sent_count
    return max(0, min(free, quota, PLENTY if breaker_room is None else breaker_room))


def choose(route: Sequence[Key], tries: int, rooms: Mapping[Key, int]) -> Key | None:
    """The account to try: nobody waits for a full one while another may take the order."""
    if not route:
        return None
    start = tries % len(route)
    return next((key for key in (*route[start:], *route[:start]) if rooms.get(key, 0) > 0), None)


def admit(
    waiting: Sequence[Waiting],
    rooms: MutableMapping[Key, int],
    shares: MutableMapping[Key, Shares],
    weights: Mapping[str, int],
    most: int,
) -> list[tuple[int, Key]]:
    """(task, account) for those that start, in order. Takes from `rooms` what it gives away, and moves the `shares` on."""
    left = {w.task_id: w for w in sorted(waiting, key=lambda w: (w.rank, w.task_id))}
    started: list[tuple[int, Key]] = []
    while len(started) < most and (queues := _queues(left.values(), rooms)):
        # In turn, so that a busy account takes nobody's place at another; anew when one is full, for what waited for it.
        for key in cycle(list(queues)):
            queue = queues[key]
            oldest = {app: orders[0].task_id for app, orders in queue.items()}
            app = shares.setdefault(key, Shares()).serve(oldest, weights)
            first = queue[app].popleft()
            del left[first.task_id]
            rooms[key] -= 1
            started.append((first.task_id, key))
            if not queue[app]:
                del queue[app]
            if not queue or rooms[key] <= 0 or len(started) >= most:
                break
    return started


def _queues(left: Iterable[Waiting], rooms: Mapping[Key, int]) -> dict[Key, dict[str, deque[Waiting]]]:
    """By account that has room and by app, who would go there."""
    queues: dict[Key, dict[str, deque[Waiting]]] = {}
    for each in left:
        key = choose(each.route, each.tries, rooms)
        if key is not None:
            queues.setdefault(key, {}).setdefault(each.app_id, deque()).append(each)
    return queues


def place(ahead_count: int, weight: int, others: Sequence[tuple[int, int]]) -> int:
    """The place in the queue, from 1. `others`: (orders that wait, weight) of each other app that wants the same accounts;
    while our orders go one by one, each of those sends its share."""
    turns = ahead_count + 1
    return turns + sum(min(count, -(-turns * other // weight)) for count, other in others)


def without(caps: Caps, held: int) -> Caps:
    """The same with places that nobody will free by itself."""
    return caps if caps.in_flight is None else replace(caps, in_flight=max(0, caps.in_flight - held))


def wait_s(position: int, caps: Sequence[Caps], typical_s: float) -> float | None:
    """When an order at this place may start, as far as the caps say. None: the caps say nothing."""
    per_s = 0.0
    for cap in caps:
        flow = PLENTY if cap.in_flight is None else cap.in_flight / max(typical_s, 1.0)
        per_s += min(flow, PLENTY if cap.per_minute is None else cap.per_minute / 60)
    return position / per_s if 0 < per_s < PLENTY else None
