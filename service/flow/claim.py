"""Take turns: which lanes may send now, how much of each, and when each is looked into again. Sends nothing.

A look costs the same however many deliveries wait in a lane, and one that may not send costs nothing until it may: it is
simply not due. Lanes that are due wait in line, and each that had its turn goes to the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.channels.base import FOLD_LIMIT
from service.domain.due import LEASE_MS, Due, Parcel
from service.domain.turn import ALONE_AFTER, BREAKER_FAILURES, RELOOK_MS, idle_after, mixed, spend, tokens, tokens_at
from service.parts import Parts
from service.store import deliveries, lanes
from service.store.database import Tx

CLAIM = 200
"""Deliveries of one claim: below 50 the statements cost more than the rows, above 200 others wait."""
FEW = 16
"""Lanes that a courier takes for itself while it claims, as long as they hold enough: the others are somebody else's to take."""
LOOKED = 200
"""Lanes looked into at once where each holds little; most looks find nothing."""
SHARED = 40
"""Lanes that share one claim: on SQLite each costs a statement."""
SKIPPED = 500
"""Deliveries of a disabled subscription set aside at once."""


@dataclass(slots=True)
class Look:
    """One lane's turn while it is decided."""

    lane: Any
    most: int = 0
    pace_at: int | None = None
    """The address may be written to then; None: it keeps no pace."""
    taken: list[int] = field(default_factory=list)
    more: bool = False
    """Something was left behind that is due."""

    @property
    def probe(self) -> bool:
        return bool(self.lane.failures >= BREAKER_FAILURES)


class Turns(NamedTuple):
    parcels: list[Parcel]
    looked: int
    """Lanes whose turn it was, and that nobody else had at this moment."""


NO_TURN = Turns([], 0)


async def claim(parts: Parts, most: int, full: Iterable[int] = ()) -> list[Parcel]:
    """Lease what may be sent now, at most so many deliveries, passing over the lanes named."""
    return (await turns(parts, most, full)).parcels


async def turns(parts: Parts, most: int, full: Iterable[int], of_one: int = CLAIM, looked: int = LOOKED) -> Turns:
    """As `claim`, at most so many deliveries of one lane, from so many lanes."""
    return await parts.db.write(lambda tx: _claim(tx, parts, min(most, CLAIM), full, of_one, looked), short=True)


async def left_behind(parts: Parts, full: Iterable[int]) -> bool:
    """After a claim: some lane is due all the same, because another process has its turn now."""
    return parts.db.shared and await parts.db.read(lambda sql: lanes.any_due(sql, parts.clock(), full))


def _claim(tx: Tx, parts: Parts, most: int, full: Iterable[int], of_one: int, looked: int) -> Turns:
    due = lanes.due(tx, looked, full)
    if not due:
        return NO_TURN
    first_at = lanes.heads(tx, [lane.id for lane in due])
    looks: list[Look] = []
    moves: list[lanes.Move] = []
    for lane in due:
        first = first_at.get(lane.id)
        if lane.status != "active":
            moves.append(_moved(lane, _aside(tx, lane)))
        elif first is None or first > tx.now:
            moves.append(_moved(lane, *_nothing(lane, first, tx.now)))
        elif len(looks) < SHARED:
            looks.append(Look(lane))
    _allow(tx, parts, looks, most, of_one)
    # One more than may be sent: so it is known whether the lane's next turn is at once.
    waiting = lanes.waiting(tx, {look.lane.id: look.most + 1 for look in looks if look.most > 0})
    chosen = _choose(parts, looks, waiting)
    leased = deliveries.lease(tx, chosen, tx.now + LEASE_MS)
    for look in looks:
        look.taken = [delivery_id for delivery_id in look.taken if delivery_id in leased]
        look.more = look.most > 0 and sum(map(len, waiting[look.lane.id])) > len(look.taken)
    lanes.move(tx, moves + [_after(tx, look) for look in looks])
    taken_paces = {look.lane.pace_id: tx.now + LEASE_MS for look in looks if look.taken and look.pace_at is not None}
    lanes.set_paces(tx, taken_paces)  # nobody else writes there until this is settled, or its lease is over
    return Turns(_parcels(looks, leased, tx.now + LEASE_MS, parts), len(due))


def _aside(tx: Tx, lane: Any) -> int | None:
    """Paused: it is parked. Disabled, deleted: what waits in it is set aside, a part at a time."""
    if lane.status == "paused":
        return None
    return tx.now if deliveries.skip_open(tx, lane.id, SKIPPED) else None


def _nothing(lane: Any, first: int | None, now: int) -> tuple[int | None, int]:
    if first is not None:
        return first, 0
    idle_ms = idle_after(lane.idle_ms)
    return (None, 0) if idle_ms is None else (now + idle_ms, idle_ms)


def _allow(tx: Tx, parts: Parts, looks: Sequence[Look], most: int, of_one: int) -> None:
    """How much of each may be sent: a probe, what the rate or the pace allow, or an even share."""
    paces = lanes.paces(tx, [look.lane.pace_id for look in looks if look.lane.pace_id is not None])
    left = most
    for index, look in enumerate(looks):
        lane = look.lane
        share = min(max(1, left // (len(looks) - index)), of_one)
        if lane.pace_id is not None:
            look.pace_at = paces.get(lane.pace_id, tx.now + RELOOK_MS)
        if left <= 0 or (look.pace_at is not None and look.pace_at > tx.now):
            look.most = 0
        elif parts.channels[lane.channel].folds:
            look.most = FOLD_LIMIT
            left -= 1
        else:
            look.most = 1 if look.probe else share
            if lane.rate is not None:
                look.most = min(look.most, tokens(lane.rate, lane.spent_until, tx.now))
            left -= look.most
        if look.pace_at is not None and look.most:
            paces[lane.pace_id] = tx.now + LEASE_MS  # the next lane that leads there has to wait


def _choose(parts: Parts, looks: Sequence[Look], waiting: Mapping[int, tuple[list[Any], list[Any]]]) -> list[int]:
    for look in looks:
        if look.most > 0:
            rows = mixed(*waiting[look.lane.id], look.most)
            folded = parts.channels[look.lane.channel].folds
            look.taken = [row.id for row in (_company(rows) if folded else rows)]
    return [delivery_id for look in looks for delivery_id in look.taken]


def _company(rows: Sequence[Any]) -> Sequence[Any]:
    """What is folded into one message: all that go together, or the one that goes alone when it has waited longest."""
    alone = [row for row in rows if row.attempts - row.spent >= ALONE_AFTER]
    company = [row for row in rows if row.attempts - row.spent < ALONE_AFTER]
    if alone and alone[0].due_at <= min((row.due_at for row in company), default=alone[0].due_at):
        return alone[:1]
    return company


def _after(tx: Tx, look: Look) -> lanes.Move:
    lane, now = look.lane, tx.now
    if not look.taken:
        rested_at = max(look.pace_at or 0, tokens_at(lane.rate, lane.spent_until) if lane.rate is not None else 0)
        return _moved(lane, max(rested_at, lane.due_at))
    spent_until = lane.spent_until
    at = now if look.more else now + RELOOK_MS
    if look.probe or look.pace_at is not None:
        at = now + LEASE_MS  # its settlement says when it goes on
    elif lane.rate is not None:
        spent_until = spend(lane.rate, spent_until, now, len(look.taken))
        at = max(at, tokens_at(lane.rate, spent_until))
    return _moved(lane, at, 0, spent_until)


def _moved(lane: Any, due_at: int | None, idle_ms: int = 0, spent_until: int | None = None) -> lanes.Move:
    return due_at, idle_ms, lane.spent_until if spent_until is None else spent_until, lane.id


def _parcels(looks: Sequence[Look], leased: Mapping[int, Any], lease_until: int, parts: Parts) -> list[Parcel]:
    parcels: list[Parcel] = []
    for look in looks:
        dues = tuple(_due(look.lane, leased[i], lease_until) for i in look.taken)
        if dues and parts.channels[look.lane.channel].folds:
            parcels.append(dues)
        else:
            parcels.extend((due,) for due in dues)
    return parcels


def _due(lane: Any, row: Sequence[Any], lease_until: int) -> Due:
    """By position: by name costs more than the claim itself."""
    delivery_id, app_id, subscription_id, attempts, spent, fence, hurried, kind, at, body = row
    return Due(
        delivery_id,
        app_id,
        subscription_id,
        lane.version,
        kind,
        at,
        attempts,
        spent,
        fence,
        bool(hurried),
        lease_until,
        bytes(body),
        lane.pace_id,
    )


async def release(parts: Parts, work: Iterable[Due]) -> None:
    """Give back what will not be sent by this process now."""
    work = list(work)
    if work:
        await parts.db.write(lambda tx: _release(tx, work))


def _release(tx: Tx, work: Sequence[Due]) -> None:
    standing = deliveries.release(tx, [(due.id, due.fence) for due in work])
    given = {due.subscription_id for due in work if due.id in standing}
    rows = lanes.lately(tx, given)
    lanes.touch(tx, {i: tx.now for i, row in rows.items() if row.status == "active"})
    lanes.free_paces(tx, {(due.pace_id, due.lease_until): tx.now for due in work if due.pace_id is not None})
