"""What attempts came to, written down: outcomes, attempts, how their lanes are doing, and what has to be told of it.

One transaction, fenced: whoever comes back with an older fence has lost his lease, or was overtaken by a request to send
again. He settles nothing; what he tried is written down all the same, as an attempt that takes no step of the schedule.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from service.domain import ids
from service.domain.delivery import SCHEDULE, Dead, Decision, Disable, Done, Outcome, Retry, Told, classify, worn_out
from service.domain.due import Due, Parcel
from service.domain.instant import rfc3339
from service.domain.matching import OPERATIONAL_EVENTS
from service.domain.turn import PACE_MS, Health, felt
from service.flow.announce import Happening, announce
from service.flow.recall import recall, tell_others
from service.parts import Parts
from service.store import deliveries, lanes, subscriptions
from service.store.database import Tx
from service.store.deliveries import Held

TOLD_AGAIN_MS = 3_600_000
"""Deliveries given up are told of once an hour for each subscription, with their number."""
UNTOLD = 100
"""Subscriptions told of in one sweep."""


class Settlement(NamedTuple):
    """What one attempt came to, for all that it told."""

    parcel: Parcel
    outcome: Outcome
    elapsed_ms: int
    answer: bytes | None
    at: int
    status: int | None = None
    """What was answered, whatever it led to; None: nothing was."""

    @property
    def subscription_id(self) -> int:
        return self.parcel[0].subscription_id


class Settled(NamedTuple):
    held: Set[int] = frozenset()
    """Subscriptions whose lanes rest now: what else is in hand for them is given back."""
    in_hand: Sequence[Due] = ()
    disabled: bool = False
    """A subscription was, so that others have to hear of it."""


@dataclass(slots=True)
class Lane:
    """One subscription's share of a batch."""

    row: Any
    health: Health
    before: Health = field(init=False)
    disabled: str | None = None
    abandoned: int = 0
    last: tuple[Due, str] | None = None
    """The delivery given up last, and why."""
    paces: dict[tuple[int, int], int] = field(default_factory=dict)
    """Addresses that were written to, with the lease they were held by, and when they may be again."""
    failed_at: int = field(init=False)
    """When it failed last; attempts that end together fail at one moment."""

    def __post_init__(self) -> None:
        self.before = self.health
        self.failed_at = self.row.failed_at

    def changed_since(self, s: Settlement) -> bool:
        return bool(self.row.version != s.parcel[0].version)

    def schedule(self) -> Sequence[float]:
        return SCHEDULE if self.row.schedule is None else (0, *orjson.loads(self.row.schedule))


async def settle(parts: Parts, settlements: Sequence[Settlement]) -> Settled:
    """All or none. If this cannot be stored the leases run out and the notices are sent again, under the same names."""
    settled = await parts.db.write(lambda tx: _settle(tx, parts, settlements), short=True)
    if settled.in_hand:
        parts.courier.put(settled.in_hand)
    if settled.disabled:
        tell_others(parts)
    return settled


def _settle(tx: Tx, parts: Parts, settlements: Sequence[Settlement]) -> Settled:
    held = deliveries.held(tx, [due.id for s in settlements for due in s.parcel])
    found = lanes.lately(tx, {s.subscription_id for s in settlements})
    mine = {i: Lane(row, Health(row.failures, row.held_until, row.failing_since)) for i, row in found.items()}
    late = _late(tx, settlements, held)
    delivered: list[int] = []
    others: list[tuple[Any, ...]] = []
    attempts: list[tuple[Any, ...]] = []
    for s, due in late:
        held[due.id] = held[due.id].with_one_more()
        attempts.append(_attempt_row(s, due, held[due.id].attempts))
    for s in settlements:
        lane = mine.get(s.subscription_id)
        counted = [due for due in s.parcel if due.id in held and held[due.id].knows(due.fence)]
        if lane is None or not counted:
            continue
        told = isinstance(s.outcome, Told)
        _feel(lane, s, tx.now, parts.random())
        for due in counted:
            now = held[due.id]
            if due.fence < now.fence:
                continue
            attempts.append(_attempt_row(s, due, now.attempts + 1))
            if told:
                delivered.append(due.id)
            elif now.state == deliveries.SKIPPED:  # it was disabled meanwhile: nothing follows from this attempt
                others.append((deliveries.SKIPPED, now.attempts + 1, due.hurried, None, tx.now, due.id))
            else:
                others.append(_after(due, now, _decide(parts, lane, s, due, now, tx.now), tx.now))
    deliveries.settle(tx, [due.id for _, due in late], delivered, others, attempts)
    told_of = _tell(tx, parts, mine.values())
    _carry_over(tx, mine.values())
    resting = {i for i, lane in mine.items() if lane.health.held_until > tx.now}
    return Settled(resting, told_of, any(lane.disabled is not None for lane in mine.values()))


def _late(tx: Tx, settlements: Sequence[Settlement], held: Mapping[int, Held]) -> list[tuple[Settlement, Due]]:
    """Attempts of those who settle nothing any more. None of a task that was forgotten meanwhile: what is said of it is not
    kept, and its notice may have come back with the answer."""
    late = [(s, due) for s in settlements for due in s.parcel if due.id in held and due.fence < held[due.id].fence]
    forgotten = deliveries.forgotten(tx, [due.id for _, due in late]) if late else set()
    return [(s, due) for s, due in late if due.id not in forgotten]


def _feel(lane: Lane, s: Settlement, now: int, jitter: float) -> None:
    """How the lane is after it, and when the address that was written to may be again."""
    after = felt(lane.health, s.outcome, now, jitter)
    due = s.parcel[0]
    if due.pace_id is not None:
        held_by = due.pace_id, due.lease_until
        lane.paces[held_by] = max(lane.paces.get(held_by, 0), s.at + PACE_MS, after.held_until)
    if lane.changed_since(s) and not isinstance(s.outcome, Told):
        return  # another address by now, maybe, or other keys: what failed as it was says nothing about it
    lane.health = after
    if not isinstance(s.outcome, Told):
        lane.failed_at = now


def _decide(parts: Parts, lane: Lane, s: Settlement, due: Due, standing: Held, now: int) -> Decision:
    number = standing.attempts + 1 - standing.spent
    decision = classify(s.outcome, number, now, parts.random(), lane.schedule(), hurried=due.hurried)
    since = lane.health.failing_since
    match decision:
        case Disable() if lane.changed_since(s):
            return Retry(now)
        case Disable(reason):
            lane.disabled = reason
        case Dead() | Retry() if since is not None and worn_out(since, lane.row.failed_at, now):
            lane.disabled = "it has failed for five days"
    if isinstance(decision, Dead) and due.type not in OPERATIONAL_EVENTS:
        lane.abandoned += 1
        lane.last = (due, decision.reason)
    return decision


def _after(due: Due, standing: Held, decision: Decision, now: int) -> tuple[Any, ...]:
    """State, attempts, hurried, due_at, ended_at, id."""
    number = standing.attempts + 1
    match decision:
        case Retry(at, hurried=extra):
            return deliveries.OPEN, number, due.hurried or extra, at, None, due.id
        case Dead() | Disable():
            return "abandoned", number, due.hurried, None, now, due.id
        case Done():
            raise AssertionError("what arrived is settled together")


def _attempt_row(s: Settlement, due: Due, number: int) -> tuple[Any, ...]:
    """In the order of the table's columns: of what, outcome, status, error, elapsed_ms, answer, at."""
    outcome = s.outcome
    error = None if isinstance(outcome, Told) else outcome.reason
    status = None if s.status is None else str(s.status)
    told = (type(outcome).__name__.lower(), status, error, s.elapsed_ms, s.answer or None, s.at)
    return due.id, number, due.app_id, *told


def _carry_over(tx: Tx, mine: Iterable[Lane]) -> None:
    """How the lanes are doing. A lane that works as before is not touched."""
    working: list[int] = []
    failing: list[int] = []
    feel: list[dict[str, Any]] = []
    paced: dict[tuple[int, int], int] = {}
    for lane in mine:
        was, now = lane.before, lane.health
        if (was.failing_since is None) is not (now.failing_since is None):
            (working if now.failing_since is None else failing).append(lane.row.id)
        if lane.disabled is not None:
            feel.append({"_id": lane.row.id, "_due_at": tx.now, "_failures": 0, "_held_until": 0, "_failed_at": lane.failed_at})
        elif (was.failures, was.held_until) != (now.failures, now.held_until):
            due_at = None if lane.row.status == "paused" else max(tx.now, now.held_until)
            health = {"_failures": now.failures, "_held_until": now.held_until, "_failed_at": lane.failed_at}
            feel.append({"_id": lane.row.id, "_due_at": due_at, **health})
        paced |= lane.paces
    if working:
        subscriptions.mark_working(tx, working)
    if failing:
        subscriptions.mark_failing(tx, failing)
    lanes.feel(tx, feel)
    lanes.free_paces(tx, paced)


# --- operational events ---


def _tell(tx: Tx, parts: Parts, mine: Iterable[Lane]) -> list[Due]:
    happenings: list[Happening] = []
    counts: list[dict[str, Any]] = []
    for lane in mine:
        row = lane.row
        if lane.disabled is not None and subscriptions.disable(tx, row.id, lane.disabled):
            recall(tx, parts, row.id)
            deliveries.skip_open(tx, row.id, UNTOLD)  # the rest when its lane has its turn
            if row.task_id is None:  # an order's own callback_url is shown with its task, and told of to nobody
                happenings.append(_disabled(parts, row, lane.disabled, tx.now))
        if lane.last is not None:
            count = row.abandoned + lane.abandoned
            now_told = tx.now - row.abandoned_at >= TOLD_AGAIN_MS
            counts.append(
                {
                    "_id": row.id,
                    "_abandoned": 0 if now_told else count,
                    "_abandoned_at": tx.now if now_told else row.abandoned_at,
                }
            )
            if now_told:
                due, reason = lane.last
                extra = {"delivery_id": ids.encode(ids.DELIVERY, due.id), "event": due.type, "message": reason}
                happenings.append(_abandoned(parts, row, count, extra, tx.now))
    lanes.count_abandoned(tx, counts)
    return [due for in_hand in announce(tx, parts, happenings) for due in in_hand]


async def tell_abandoned(parts: Parts) -> bool:
    """What was given up since it was last told, where the hour is over. True: there is more."""

    def act(tx: Tx) -> tuple[int, list[Due]]:
        rows = lanes.untold(tx, tx.now - TOLD_AGAIN_MS, UNTOLD)
        lanes.count_abandoned(tx, [{"_id": row.id, "_abandoned": 0, "_abandoned_at": tx.now} for row in rows])
        told = announce(tx, parts, [_abandoned(parts, row, row.abandoned, {}, tx.now) for row in rows])
        return len(rows), [due for in_hand in told for due in in_hand]

    count, in_hand = await parts.db.write(act)
    if count:
        parts.happened.ring()
        parts.courier.put(in_hand)
    return count >= UNTOLD


def _abandoned(parts: Parts, row: Any, count: int, extra: dict[str, Any], now: int) -> Happening:
    name = ids.encode(ids.SUBSCRIPTION, row.id)
    url = f"{parts.public_url}/v1/deliveries?state=abandoned&subscription={name}"
    return _operational(row.app_id, "delivery.abandoned", {"subscription_id": name, "count": count, **extra, "url": url}, now)


def _disabled(parts: Parts, row: Any, reason: str, now: int) -> Happening:
    name = ids.encode(ids.SUBSCRIPTION, row.id)
    data = {"subscription_id": name, "message": reason, "url": f"{parts.public_url}/v1/subscriptions/{name}"}
    return _operational(row.app_id, "subscription.disabled", data, now)


def _operational(app_id: str, type: str, data: dict[str, Any], now: int) -> Happening:
    return Happening(app_id, type, "own", orjson.dumps({"type": type, "timestamp": rfc3339(now), "data": data}))
