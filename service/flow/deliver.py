"""Keep the promises: send what was claimed, and say what came of it. No transaction is open while anything is sent."""

import asyncio
import logging
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from service.channels.base import Channel, Notice, Target
from service.domain import ids
from service.domain.delivery import AT_ONCE_MS, Blocked, Outcome, Unreached
from service.domain.due import Due, Parcel
from service.domain.errors import KeyMissing
from service.egress import BlockedAddress, HungUp, exchange
from service.flow.claim import CLAIM, claim, release
from service.flow.settle import Settlement, settle
from service.flow.targets import open_target
from service.parts import Parts
from service.store import subscriptions

log = logging.getLogger("callsheet.courier")

TOTAL_S = 15.0
"""Of one attempt, from the first look-up of the name to the last byte of the answer."""
ANSWER_LIMIT = 64 * 1024
KEPT = 4 * 1024
"""Bytes of an answer that are shown to people."""
TARGETS_KEPT = 5_000
TARGET_MS = 5_000
"""How long a subscription is taken for unchanged: opening its seal at every attempt costs more than sending."""
LOCKED_MS = 60_000
"""Before a subscription that no key opens is tried again: keys come with a restart, but a damaged row may be mended without."""
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


class Addressees:
    """Opened subscriptions, kept while their version stands."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[int, Addressee]] = OrderedDict()
        self._locked: dict[int, int] = {}
        self._looking: dict[int, asyncio.Event] = {}

    def locked(self, now: int) -> frozenset[int]:
        """Those that no key of this process opens. What they are to be told stays due, for whoever has the key."""
        self._locked = {i: until for i, until in self._locked.items() if now < until}
        return frozenset(self._locked)

    async def get(self, parts: Parts, due: Due) -> Addressee | None:
        """None: there is nobody to be told, or nobody whom this process could tell."""
        while True:
            kept = self._kept.get(due.subscription_id)
            now = parts.clock()
            if kept is not None and kept[1].version >= due.version and now < kept[0]:
                return kept[1]
            if now < self._locked.get(due.subscription_id, 0):
                return None
            if (looking := self._looking.get(due.subscription_id)) is None:
                break
            await looking.wait()  # as many as a lane has attempts under way would all look at once
        done = self._looking[due.subscription_id] = asyncio.Event()
        try:
            return await self._look(parts, due, now)
        finally:
            del self._looking[due.subscription_id]
            done.set()

    async def _look(self, parts: Parts, due: Due, now: int) -> Addressee | None:
        row = await parts.db.read(lambda sql: subscriptions.by_id(sql, None, due.subscription_id))
        if row is None:
            return None
        try:
            target = open_target(parts, row, now)
        except KeyMissing as error:
            self._locked[row.id] = now + LOCKED_MS
            log.error("courier.locked", extra={"subscription": ids.encode(ids.SUBSCRIPTION, row.id), "reason": str(error)})
            return None
        found = Addressee(row.version, row.status, parts.channels[row.channel], target, row.concurrency)
        self._kept[due.subscription_id] = (now + TARGET_MS, found)
        if len(self._kept) > TARGETS_KEPT:
            self._kept.popitem(last=False)
        return found


class Tried(NamedTuple):
    settlement: Settlement | None
    """None: nothing was sent, and the parcel goes back."""
    concurrency: int | None = None
    """The subscription's own cap on attempts at once."""


async def try_once(parts: Parts, addressees: Addressees, parcel: Parcel) -> Tried:
    """One attempt, unless there is nothing to do any more (lease over, subscription gone or paused, its task forgotten)."""
    first = parcel[0]
    if parts.clock() + SAFETY_MS > first.lease_until:
        return Tried(None)
    addressee = await addressees.get(parts, first)
    if addressee is None or addressee.status != "active":
        return Tried(None)
    if parts.recalled.covers(first.subscription_id, first.version) or any(
        parts.withdrawn.covers(due.id, due.fence) for due in parcel
    ):
        return Tried(None)  # asked last: nothing is waited for between this and the wire
    settlement = await attempt(parts, addressee, parcel)
    parts.metrics.attempted(addressee.channel.name, type(settlement.outcome).__name__.lower(), settlement.elapsed_ms / 1000)
    return Tried(settlement, addressee.concurrency)


async def deliver_due(parts: Parts, addressees: Addressees, most: int = CLAIM) -> int:
    """One round: everything in hand and everything due, once. How many attempts were made."""
    parcels: list[Parcel] = [(due,) for due in parts.courier.take(most)]
    parts.courier.full = addressees.locked(parts.clock())
    parcels += await claim(parts, most, parts.courier.full)
    tried = await asyncio.gather(*(try_once(parts, addressees, parcel) for parcel in parcels))
    settlements = [t.settlement for t in tried if t.settlement is not None]
    if settlements:
        await settle(parts, settlements)
    await release(parts, [due for parcel, t in zip(parcels, tried, strict=True) if t.settlement is None for due in parcel])
    return len(settlements)


async def attempt(parts: Parts, addressee: Addressee, parcel: Parcel) -> Settlement:
    at, began = parts.clock(), _now_s()
    notices = [Notice(ids.encode(ids.DELIVERY, due.id), due.type, due.at, due.body) for due in parcel]
    answer = status = None
    outcome: Outcome
    try:
        request = addressee.channel.compose(notices, addressee.target, at)
        reply = await exchange(parts.transport, request, total_s=TOTAL_S, cap=ANSWER_LIMIT, over="cut")
        answer, status = reply.body[:KEPT], reply.status
        outcome = addressee.channel.read(reply, at)
    except BlockedAddress as error:
        outcome = Blocked(f"{BlockedAddress.code}: {error}")
    except httpx.ConnectTimeout:
        outcome = Unreached("could not connect in time")
    except httpx.ConnectError as error:
        outcome = Unreached(f"could not connect: {error}"[:200], _at_once(began))
    except (httpx.NetworkError, HungUp) as error:
        outcome = Unreached(f"the connection broke: {error}"[:200], _at_once(began))
    except httpx.TimeoutException:
        outcome = Unreached(f"no answer within {TOTAL_S:.0f} s")
    except httpx.HTTPError as error:
        outcome = Unreached(f"{type(error).__name__}: {error}"[:200])
    except Exception as error:
        # A bug of ours. It counts as an attempt, or nobody would see it and it would come again with every lease. What it
        # says may quote an address or a key, so only its name is kept.
        log.error("courier.attempt_failed", extra={"reason": type(error).__name__, "where": _where(error)})
        outcome = Unreached(f"could not be sent: {type(error).__name__}, a fault of this service")
    return Settlement(parcel, outcome, int((_now_s() - began) * 1000), answer, at, status)


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.name}:{frame.lineno}"


def _at_once(began: float) -> bool:
    return (_now_s() - began) * 1000 < AT_ONCE_MS


def _now_s() -> float:
    """Of the loop's own clock, which the simulation turns."""
    return asyncio.get_running_loop().time()
