"""Write down what happened, together with one delivery for each subscription that wants to know; in one transaction."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from service.domain.due import LEASE_MS, Due
from service.domain.matching import Filter, passes, wants
from service.domain.turn import BREAKER_FAILURES
from service.parts import Parts
from service.store import deliveries, journal, lanes, subscriptions
from service.store.bulk import together
from service.store.database import Tx
from service.store.subscriptions import Interested


class Happening(NamedTuple):
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
    return _announce(tx, parts, happenings)[0] if happenings else []


def announce_to_one(tx: Tx, parts: Parts, happening: Happening) -> tuple[int | None, list[Due]]:
    """What `only` one subscription is told: the delivery's name, and the delivery if it is leased to this process already.
    None: nobody is there any more."""
    [in_hand], names = _announce(tx, parts, [happening])
    return (names[0] if names else None), in_hand


def _announce(tx: Tx, parts: Parts, happenings: Sequence[Happening]) -> tuple[list[list[Due]], list[int]]:
    """As `announce`, and the names of all deliveries."""
    of_app, of_task = _listeners(tx, parts, happenings)
    room = parts.courier.room()
    events: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    in_hand: list[list[Due]] = []
    earliest: dict[int, int] = {}
    for h in happenings:
        event_id = tx.ids.new()
        events.append(_event_row(tx, h, event_id))
        mine: list[Due] = []
        for sub, at_once in (*of_app.get(h.app_id, ()), *of_task.get(h.task_id, ())):
            if not concerns(sub, h):
                continue
            leased = at_once and room > 0
            room -= leased
            due_at = tx.now + LEASE_MS if leased else tx.now
            delivery_id = tx.ids.new()
            rows.append(_delivery_row(tx, delivery_id, event_id, sub, due_at, leased))
            if due_at < earliest.get(sub.id, due_at + 1) and _looked_into_too_late(sub, due_at):
                earliest[sub.id] = due_at
            if leased:
                mine.append(
                    Due(
                        id=delivery_id,
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
    with together(tx):
        journal.add_events(tx, events)
        deliveries.add_deliveries(tx, rows)
    lanes.touch(tx, earliest)
    parts.courier.promised += len(rows)
    return in_hand, [row[0] for row in rows]


Listeners = dict[Any, list[tuple[Interested, bool]]]
"""Subscriptions by what they listen to, each with whether it may be told at once."""


def _listeners(tx: Tx, parts: Parts, happenings: Sequence[Happening]) -> tuple[Listeners, Listeners]:
    of_app: Listeners = {}
    of_task: Listeners = {}
    apps, named = {h.app_id for h in happenings}, {h.task_id for h in happenings if h.task_id is not None}
    for sub in subscriptions.interested(tx, apps, named):
        at_once = _at_once(parts, sub, tx.now)
        if sub.task_id is None:
            of_app.setdefault(sub.app_id, []).append((sub, at_once))
        else:
            of_task.setdefault(sub.task_id, []).append((sub, at_once))
    return of_app, of_task


def _at_once(parts: Parts, sub: Interested, now: int) -> bool:
    """It may be sent by this process without waiting for a turn: nothing has to be counted or held back."""
    return (
        sub.status == "active"
        and sub.rate is None
        and sub.failures == 0
        and sub.held_until <= now
        and sub.id not in parts.courier.full
        and not parts.channels[sub.channel].folds
    )


def _looked_into_too_late(sub: Interested, due_at: int) -> bool:
    """Its lane has to be told. Mostly it has not: a busy lane is about to be looked into anyway."""
    if sub.status != "active":
        return False
    open_at = max(due_at, sub.held_until)
    return sub.due_at is None or (sub.due_at > open_at and sub.failures < BREAKER_FAILURES)


def _event_row(tx: Tx, h: Happening, event_id: int) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return event_id, 0, h.app_id, h.task_id, h.sequence, h.type, h.state, h.previous, h.source, tx.now, h.body


def _delivery_row(tx: Tx, delivery_id: int, event_id: int, sub: Interested, due_at: int, leased: bool) -> tuple[Any, ...]:
    """In the order of the table's columns: names, state, attempts, spent, fence, hurried, three instants, recovered. What is told to
    a paused subscription waits in its lane; what would have been told to a disabled one is kept."""
    names = (delivery_id, sub.app_id, event_id, sub.id)
    if sub.status == "disabled":
        return *names, "skipped", 0, 0, 0, False, None, tx.now, tx.now, False
    return *names, "pending", 0, 0, int(leased), False, due_at, tx.now, None, False


def concerns(sub: Interested, h: Happening) -> bool:
    """Of a subscription that listens to this app, or to this task."""
    if h.only is not None:
        return sub.id == h.only
    if sub.app_id != h.app_id or not _wants(sub.events, h.type):
        return False
    chosen = _filter(sub.filter)
    return chosen is None or passes(chosen, h.model, h.provider, _labels(h.metadata))


@lru_cache(10_000)
def _wants(events: str, event: str) -> bool:
    return wants(orjson.loads(events), event)


@lru_cache(10_000)
def _filter(chosen: str) -> Filter | None:
    raw = orjson.loads(chosen)
    return Filter(raw.get("model", ()), raw.get("provider", ()), raw.get("metadata", {})) if raw else None


@lru_cache(1_000)
def _labels(metadata: str) -> Mapping[str, str]:
    labels: dict[str, str] = orjson.loads(metadata)
    return labels
