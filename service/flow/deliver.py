"""Keep the promises: claim what is due, send it, settle it. Sending holds no transaction, settling sends nothing.

A claim moves `due_at` forward and the fence up; whoever comes back with an older fence has lost his lease and settles
nothing. An attempt is written down together with what it came to.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import httpx
import orjson

from service.channels.base import Channel, Notice, Target
from service.domain import ids
from service.domain.delivery import (
    Blocked,
    Dead,
    Disable,
    Done,
    Failed,
    Outcome,
    Retry,
    Told,
    Unreached,
    classify,
    worn_out,
)
from service.domain.due import LEASE_MS, Due
from service.domain.instant import rfc3339
from service.domain.matching import OPERATIONAL_EVENTS
from service.egress import BlockedAddress, exchange
from service.flow.announce import Happening, announce
from service.flow.subscribe import open_target
from service.parts import Parts
from service.store import deliveries
from service.store.database import Tx

log = logging.getLogger("callsheet.deliver")

TOTAL_S = 15.0
"""Of one attempt, from the first look-up of the name to the last byte of the answer."""
ANSWER_LIMIT = 64 * 1024
KEPT = 4 * 1024
"""Bytes of an answer that are shown to people."""
TARGETS_KEPT = 5_000
CLAIM = 100
"""Deliveries of one claim: below 50 the statements cost more than the rows, above 200 others wait."""
SAFETY_MS = int(TOTAL_S * 1000) + 5_000
"""An attempt starts only while its lease outlasts it by this much."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """A subscription as an attempt needs it."""

    version: int
    status: str
    channel: Channel
    target: Target
    concurrency: int | None
    rate: int | None


class Addressees:
    """Opened subscriptions, kept while their version stands: opening a seal costs more than sending."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[int, Addressee]] = OrderedDict()

    async def get(self, parts: Parts, due: Due) -> Addressee | None:
        kept = self._kept.get(due.subscription_id)
        now = parts.clock()
        if kept is not None and kept[1].version >= due.version and now < kept[0]:
            return kept[1]
        row = await parts.db.read(lambda sql: deliveries.subscription(sql, None, due.subscription_id))
        if row is None:
            return None
        channel = parts.channels[row.channel]
        found = Addressee(row.version, row.status, channel, open_target(parts, row, now), row.concurrency, row.rate)
        self._kept[due.subscription_id] = (now + LEASE_MS, found)
        if len(self._kept) > TARGETS_KEPT:
            self._kept.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt came to."""

    due: Due
    outcome: Outcome
    elapsed_ms: int
    answer: bytes | None
    at: int


async def claim(parts: Parts, most: int, full: Sequence[int] = ()) -> list[Due]:
    """Lease what is due, the oldest first, passing over the lanes named. Sends nothing."""

    def act(tx: Tx) -> list[Due]:
        lease_until = tx.now + LEASE_MS
        return [
            Due(
                row.id,
                row.app_id,
                row.subscription_id,
                row.version,
                row.event_id,
                row.type,
                row.at,
                row.attempts,
                row.fence,
                row.hurried,
                lease_until,
                bytes(row.body),
            )
            for row in deliveries.claim_due(tx, min(most, CLAIM), lease_until, full)
        ]

    return await parts.db.write(act)


async def try_once(parts: Parts, addressees: Addressees, due: Due) -> tuple[Settlement | None, int | None]:
    """One attempt, and the subscription's own cap on attempts at once. No settlement: there was nothing to do any more
    (lease over, subscription gone or paused)."""
    if parts.clock() + SAFETY_MS > due.lease_until:
        return None, None
    addressee = await addressees.get(parts, due)
    if addressee is None or addressee.status != "active":
        return None, None
    settlement = await attempt(parts, addressee, due)
    parts.metrics.attempted(addressee.channel.name, type(settlement.outcome).__name__.lower(), settlement.elapsed_ms / 1000)
    return settlement, addressee.concurrency


async def settle(parts: Parts, settlement: Settlement) -> None:
    """If this cannot be stored the lease runs out and the notice is sent again, under the same name."""
    in_hand: list[Due] = await parts.db.group(settle_all, parts, settlement)
    if in_hand:
        parts.courier.put(in_hand)


async def deliver_due(parts: Parts, addressees: Addressees, most: int = CLAIM) -> int:
    """One round: everything in hand and everything due, once. How many attempts were made."""
    work = parts.courier.take(most)
    work += await claim(parts, most)
    tried = await asyncio.gather(*(try_once(parts, addressees, due) for due in work))
    settlements = [settlement for settlement, _ in tried if settlement is not None]
    await asyncio.gather(*(settle(parts, s) for s in settlements))
    return len(settlements)


async def release(parts: Parts, work: Sequence[Due]) -> None:
    """Give back what will not be sent by this process."""
    if work:
        await parts.db.write(lambda tx: deliveries.release(tx, [(due.id, due.fence) for due in work]))


async def attempt(parts: Parts, addressee: Addressee, due: Due) -> Settlement:
    at, began = parts.clock(), perf_counter()
    notice = Notice(ids.encode(ids.DELIVERY, due.id), due.type, due.at, due.body)
    answer = None
    outcome: Outcome
    try:
        request = addressee.channel.compose([notice], addressee.target, at)
        reply = await exchange(parts.transport, request, total_s=TOTAL_S, cap=ANSWER_LIMIT, over="cut")
        answer = reply.body[:KEPT]
        outcome = addressee.channel.read(reply, at)
    except BlockedAddress as error:
        outcome = Blocked(str(error))
    except httpx.ConnectTimeout:
        outcome = Unreached("could not connect in time")
    except httpx.ConnectError as error:
        outcome = Unreached(f"could not connect: {error}"[:200], at_once=perf_counter() - began < 1)
    except httpx.TimeoutException:
        outcome = Unreached(f"no answer within {TOTAL_S:.0f} s")
    except httpx.HTTPError as error:
        outcome = Unreached(f"{type(error).__name__}: {error}"[:200], at_once=False)
    return Settlement(due, outcome, int((perf_counter() - began) * 1000), answer, at)


def settle_all(tx: Tx, parts: Parts, settlements: Sequence[Settlement]) -> list[list[Due]]:
    """Outcomes and attempts of everything whose lease still stands, in one go; whatever has to be told about them too."""
    standing = deliveries.held(tx, [(s.due.id, s.due.fence) for s in settlements])
    counted = [s for s in settlements if s.due.id in standing]
    failed = [s.due.subscription_id for s in counted if not isinstance(s.outcome, Told)]
    told = {s.due.subscription_id for s in counted if isinstance(s.outcome, Told)}
    if told:
        deliveries.mark_working(tx, told)
    failing: dict[int, int] = {}
    if failed:
        deliveries.mark_failing(tx, set(failed) - told)
        failing = deliveries.failing_since(tx, failed)
    rows: list[dict[str, Any]] = []
    attempts: list[dict[str, Any]] = []
    happenings: list[Happening] = []
    owners: list[int] = []
    disabled: dict[int, str] = {}
    for index, s in enumerate(settlements):
        if s.due.id not in standing:
            continue
        number = s.due.attempts + 1
        decision = classify(s.outcome, number, tx.now, parts.random(), hurried=s.due.hurried)
        rows.append(_after(s.due, decision, number, tx.now))
        attempts.append(_attempt_row(s, number))
        since = failing.get(s.due.subscription_id)
        match decision:
            case Disable(reason):
                disabled[s.due.subscription_id] = reason
            case Dead() | Retry() if since is not None and worn_out(since, tx.now, tx.now):
                disabled[s.due.subscription_id] = "it has failed for five days"
        if isinstance(decision, Dead) and s.due.type not in OPERATIONAL_EVENTS:
            happenings.append(_abandoned(s.due, decision.reason, tx.now))
            owners.append(index)
    deliveries.settle(tx, rows, attempts)
    for subscription_id, reason in disabled.items():
        if deliveries.disable(tx, subscription_id, reason):
            deliveries.skip_open(tx, subscription_id)
            index, due = next((i, s.due) for i, s in enumerate(settlements) if s.due.subscription_id == subscription_id)
            happenings.append(_disabled(due, reason, tx.now))
            owners.append(index)
    answers: list[list[Due]] = [[] for _ in settlements]
    for index, in_hand in zip(owners, announce(tx, parts, happenings), strict=True):
        answers[index].extend(in_hand)
    return answers


def _after(due: Due, decision: Done | Retry | Dead | Disable, number: int, now: int) -> dict[str, Any]:
    state: str
    due_at: int | None
    ended_at: int | None
    match decision:
        case Done():
            state, due_at, ended_at, hurried = "delivered", None, now, due.hurried
        case Retry(at, hurried=extra):
            state, due_at, ended_at, hurried = "pending", at, None, due.hurried or extra
        case Dead() | Disable():
            state, due_at, ended_at, hurried = "abandoned", None, now, due.hurried
    return {"_id": due.id, "_state": state, "_attempts": number, "_hurried": hurried, "_due_at": due_at, "_ended_at": ended_at}


def _attempt_row(s: Settlement, number: int) -> dict[str, Any]:
    reason = None if isinstance(s.outcome, Told) else s.outcome.reason
    return {
        "delivery_id": s.due.id,
        "number": number,
        "app_id": s.due.app_id,
        "outcome": type(s.outcome).__name__.lower(),
        "status": s.outcome.status if isinstance(s.outcome, Failed) else None,
        "error": reason,
        "elapsed_ms": s.elapsed_ms,
        "answer": s.answer or None,
        "at": s.at,
    }


def _abandoned(due: Due, reason: str, now: int) -> Happening:
    data = {
        "delivery_id": ids.encode(ids.DELIVERY, due.id),
        "subscription_id": ids.encode(ids.SUBSCRIPTION, due.subscription_id),
        "event": due.type,
        "message": reason,
    }
    return _operational(due.app_id, "delivery.abandoned", data, now)


def _disabled(due: Due, reason: str, now: int) -> Happening:
    data = {"subscription_id": ids.encode(ids.SUBSCRIPTION, due.subscription_id), "message": reason}
    return _operational(due.app_id, "subscription.disabled", data, now)


def _operational(app_id: str, type: str, data: dict[str, Any], now: int) -> Happening:
    return Happening(app_id, type, "own", orjson.dumps({"type": type, "timestamp": rfc3339(now), "data": data}))
