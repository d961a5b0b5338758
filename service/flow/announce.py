"""Write down what happened, together with one delivery for each subscription that wants to know; in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from service.domain.due import LEASE_MS, Due
from service.domain.matching import Filter, passes, wants
from service.parts import Parts
from service.store import deliveries, journal
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
    leased to this process already; the others stay due for anybody."""
    if not happenings:
        return []
    xact = current_xact(tx)
    subscriptions = deliveries.interested(tx, {h.app_id for h in happenings}, {h.task_id for h in happenings if h.task_id})
    room = parts.courier.room()
    events: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    in_hand: list[list[Due]] = []
    for h in happenings:
        event_id = tx.ids.new()
        events.append(
            {
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
        )
        mine: list[Due] = []
        for sub in subscriptions:
            if not concerns(sub, h):
                continue
            delivery_id = tx.ids.new()
            leased = sub.status == "active" and room > 0
            room -= leased
            due_at = None if sub.status != "active" else tx.now + LEASE_MS if leased else tx.now
            skipped = sub.status == "disabled"
            rows.append(
                {
                    "id": delivery_id,
                    "app_id": h.app_id,
                    "event_id": event_id,
                    "subscription_id": sub.id,
                    "state": "skipped" if skipped else "pending",
                    "attempts": 0,
                    "fence": int(leased),
                    "hurried": False,
                    "due_at": due_at,
                    "created_at": tx.now,
                    "ended_at": tx.now if skipped else None,
                }
            )
            if leased:
                mine.append(
                    Due(
                        delivery_id,
                        h.app_id,
                        sub.id,
                        sub.version,
                        event_id,
                        h.type,
                        tx.now,
                        0,
                        1,
                        False,
                        tx.now + LEASE_MS,
                        h.body,
                    )
                )
        in_hand.append(mine)
    journal.add_events(tx, events)
    deliveries.add_deliveries(tx, rows)
    return in_hand


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
