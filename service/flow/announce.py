"""Write down what happened, together with one delivery for each subscription that wants to know; in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from service.domain.due import LEASE_MS, Due
from service.domain.matching import Filter, passes, wants
from service.domain.turn import BREAKER_FAILURES
from service.parts import Parts
from service.store import deliveries, journal, lanes
from service.store.database import Tx
from service.store.rows import current_xact


@dataclass(frozen=True, slots=True)
class Happening:
    """A transition of a task, or an operational event."""

    app_id: str
    type: str
    source: str
    body: bytes
    task_id: int | None = None
    sequence: int | None = None
    state: str | None = None
    previous: str | None = None
    model: str = ""
    provider: str | None = None
    metadata: str = "{}"
    only: int | None = None
    """Tell this subscription and nobody else, whatever it asked for (a test notice)."""


def announce(tx: Tx, parts: Parts, happenings: Sequence[Happening]) -> list[list[Due]]:
    """Events and deliveries in the same transaction as what they tell of. For each happening, the deliveries that are
    leased to this process already; the others wait in their lanes for anybody."""
    if not happenings:
        return []
    xact = current_xact(tx)
    subscriptions = deliveries.interested(tx, {h.app_id for h in happenings}, {h.task_id for h in happenings if h.task_id})
    room = parts.courier.room()
    events: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    in_hand: list[list[Due]] = []
    earliest: dict[int, int] = {}
    for h in happenings:
        event_id = tx.ids.new()
        events.append(_event_row(tx, h, event_id, xact))
        mine: list[Due] = []
        for sub in subscriptions:
            if not concerns(sub, h):
                continue
            leased = room > 0 and _at_once(parts, sub, tx.now)
            room -= leased
            due_at = tx.now + LEASE_MS if leased else tx.now
            row = _delivery_row(tx, h, event_id, sub, due_at, leased)
            rows.append(row)
            if _looked_into_too_late(sub, due_at):
                earliest[sub.id] = min(due_at, earliest.get(sub.id, due_at))
            if leased:
                mine.append(
                    Due(
                        id=row["id"],
                        app_id=h.app_id,
                        subscription_id=sub.id,
                        version=sub.version,
                        type=h.type,
                        at=tx.now,
                        attempts=0,
                        spent=0,
                        fence=1,
                        hurried=False,
                        lease_until=due_at,
                        body=h.body,
                    )
                )
        in_hand.append(mine)
    journal.add_events(tx, events)
    deliveries.add_deliveries(tx, rows)
    lanes.touch(tx, earliest)
    return in_hand


def _at_once(parts: Parts, sub: Any, now: int) -> bool:
    """It may be sent by this process without waiting for a turn: nothing has to be counted or held back."""
    return (
        sub.status == "active"
        and sub.rate is None
        and sub.failures == 0
        and sub.held_until <= now
        and sub.id not in parts.courier.full
        and not parts.channels[sub.channel].folds
    )


def _looked_into_too_late(sub: Any, due_at: int) -> bool:
    """Its lane has to be told. Mostly it has not: a busy lane is about to be looked into anyway."""
    if sub.status != "active":
        return False
    open_at = max(due_at, sub.held_until)
    return sub.due_at is None or (sub.due_at > open_at and sub.failures < BREAKER_FAILURES)


def _event_row(tx: Tx, h: Happening, event_id: int, xact: int) -> dict[str, Any]:
    return {
        "id": event_id,
        "xact": xact,
        "app_id": h.app_id,
        "task_id": h.task_id,
        "sequence": h.sequence,
        "type": h.type,
        "state": h.state,
        "previous": h.previous,
        "source": h.source,
        "at": tx.now,
        "body": h.body,
    }


def _delivery_row(tx: Tx, h: Happening, event_id: int, sub: Any, due_at: int, leased: bool) -> dict[str, Any]:
    """What is told to a paused subscription waits in its lane; what would have been told to a disabled one is kept."""
    skipped = sub.status == "disabled"
    return {
        "id": tx.ids.new(),
        "app_id": h.app_id,
        "event_id": event_id,
        "subscription_id": sub.id,
        "state": "skipped" if skipped else "pending",
        "attempts": 0,
        "spent": 0,
        "fence": int(leased),
        "hurried": False,
        "due_at": None if skipped else due_at,
        "created_at": tx.now,
        "ended_at": tx.now if skipped else None,
    }


def concerns(sub: Any, h: Happening) -> bool:
    if sub.app_id != h.app_id or (sub.task_id is not None and sub.task_id != h.task_id):
        return False
    if h.only is not None:
        return bool(sub.id == h.only)
    patterns, chosen = _interest(sub.events, sub.filter)
    return wants(patterns, h.type) and (chosen is None or passes(chosen, h.model, h.provider, _labels(h.metadata)))


@lru_cache(10_000)
def _interest(events: str, chosen: str) -> tuple[Sequence[str], Filter | None]:
    raw = orjson.loads(chosen)
    if not raw:
        return tuple(orjson.loads(events)), None
    return tuple(orjson.loads(events)), Filter(raw.get("model", ()), raw.get("provider", ()), raw.get("metadata", {}))


@lru_cache(1_000)
def _labels(metadata: str) -> Mapping[str, str]:
    labels: dict[str, str] = orjson.loads(metadata)
    return labels
