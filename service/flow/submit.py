"""Orders in: judged before anything is sent, committed before anything is sent, sent at most once.

`place_order` writes the task, and its first submission when an account has room and nobody waits, and answers once both are
durable. What waits is started, and everything is sent, by `flow/place.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from service.accounts import Desk
from service.channels.base import Target
from service.domain import route
from service.domain.admission import choose
from service.domain.errors import BadOrder, Fault, KeyMissing, KeyReused
from service.domain.lifecycle import State
from service.domain.matching import EVERY_TASK_EVENT
from service.domain.order import Order, shown
from service.domain.patience import DEFAULT_EXPIRY_S, SECOND_MS
from service.domain.route import Key
from service.domain.task import Submission, Task
from service.flow import place
from service.flow.subscribe import subscription_row
from service.flow.targets import literal_faults
from service.parts import Parts, Placement
from service.store import apps, subscriptions, tasks, waiting
from service.store.bulk import together
from service.store.database import Tx

SHORT = 256 * 1024
"""Bytes of an order that is stored in no time. Pictures come with megabytes."""
HIGHEST = 9
"""Priority of an order, as Ark counts it."""
SUSPECT_MS = 60_000
"""An equal order under another key within this is placed, and marked."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An order that may be placed, and what is known about it before."""

    order: Order
    desks: Sequence[Desk]
    warnings: tuple[str, ...]
    estimated_tokens: int | None


@dataclass(frozen=True, slots=True)
class NewOrder:
    app_id: str
    checked: Checked
    body: bytes
    """The whole order as JSON."""
    shown: str
    key: str | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Placed:
    task: Task | None
    """None: the key was used for a task that is kept no more."""
    replayed: bool
    placement: Placement | None = None
    reused: bool = False
    """The key came with another body before."""


def check(parts: Parts, order: Order) -> Checked:
    """Every fault named before anything is sent, our own rules first, then what no configured gateway can do."""
    checked = parts.catalog.check(order)
    if checked.faults:
        raise BadOrder("the order cannot be carried out as it stands", checked.faults)
    if order.callback_url is not None:
        faults = parts.channels["webhook"].check(order.callback_url, {}) or literal_faults(parts, order.callback_url)
        if faults:
            raise BadOrder("the order's callback_url cannot be used", [Fault("callback_url", f.message) for f in faults])
    desks, faults = parts.accounts.able(order)
    if not desks:
        raise BadOrder("no configured provider can carry out this order", faults)
    return Checked(order, desks, tuple(checked.warnings), parts.catalog.estimate(order).tokens)


async def place_order(parts: Parts, app_id: str, order: Order, key: str | None = None) -> Placed:
    checked = check(parts, order)
    said = order.as_dict()
    digest = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()
    # Its own callback_url is an address with secrets in it like any subscriber's: kept sealed, and shown without them.
    said.pop("callback_url", None)
    body = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    item = NewOrder(app_id, checked, body, orjson.dumps(shown(_for_people(parts, order))).decode(), key, digest)
    placed: Placed = await parts.db.group(add_orders, parts, item, short=len(body) <= SHORT)
    if placed.task is None:
        raise KeyReused("the task of this Idempotency-Key is not kept any more; use a new key for a new order")
    if placed.reused:
        raise KeyReused("this Idempotency-Key came with another order before; use a new key for a new order")
    if placed.placement is not None:
        parts.submitter.put([placed.placement])
    elif not placed.replayed:
        parts.submitter.bell.ring()
    return placed


def _for_people(parts: Parts, order: Order) -> Order:
    url = order.callback_url
    return order if url is None else replace(order, callback_url=parts.channels["webhook"].display(url))


def add_orders(tx: Tx, parts: Parts, items: Sequence[NewOrder]) -> list[Placed]:
    if parts.submitter.room() > 0:
        waiting.take_turn(tx)
    used = tasks.keys_used(tx, {(i.app_id, i.key) for i in items if i.key is not None})
    suspects = tasks.recent_digests(tx, {i.digest for i in items}, tx.now - SUSPECT_MS)
    known = tasks.by_ids(tx.sql, [task_id for _, task_id in used.values()])
    rooms = _rooms_for_newcomers(tx, parts)
    room = parts.submitter.room()
    added: list[Task] = []
    submissions: list[Submission] = []
    orders: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    keys: list[dict[str, Any]] = []
    implicit: list[dict[str, Any]] = []
    answers: list[Placed] = []
    for item in items:
        if item.key is not None and (before := used.get((item.app_id, item.key))) is not None:
            digest, task_id = before
            answers.append(Placed(known.get(task_id), replayed=True, reused=digest != item.digest))
            continue
        task = _task(tx, item, suspected=(item.app_id, item.digest) in suspects)
        suspects.add((item.app_id, item.digest))
        placement = None
        key = choose([desk.key for desk in item.checked.desks], 0, rooms) if room > 0 else None
        if key is not None:
            room -= 1
            rooms[key] -= 1
            place.probe(tx, parts, key)
            task, submission = place.start(tx, parts, task, parts.accounts.desks[key])
            submissions.append(submission)
            placement = Placement(task, submission, item.body)
        added.append(task)
        known[task.id] = task
        orders.append(
            {"task_id": task.id, "app_id": item.app_id, "digest": item.digest, "created_at": tx.now, "body": item.body}
        )
        for name, value in item.checked.order.metadata.items():
            labels.append({"app_id": item.app_id, "name": name, "value": value, "task_id": task.id})
        if item.key is not None:
            used[item.app_id, item.key] = (item.digest, task.id)
            keys.append(
                {"app_id": item.app_id, "key": item.key, "digest": item.digest, "task_id": task.id, "created_at": tx.now}
            )
        if item.checked.order.callback_url is not None:
            implicit.append(_implicit(tx, parts, item, task.id))
        answers.append(Placed(task, replayed=False, placement=placement))
    with together(tx):
        tasks.add(tx, added, orders, labels)
        tasks.add_submissions(tx, submissions)
    tasks.add_keys(tx, keys)
    subscriptions.add(tx, implicit)
    return answers


def _rooms_for_newcomers(tx: Tx, parts: Parts) -> dict[Key, int]:
    """Nobody who comes now goes before somebody who waits."""
    if parts.submitter.room() <= 0 or waiting.anybody_due(tx):
        return {}
    rooms, parts.accounts.breakers = waiting.rooms(tx.sql, tx.now, parts.accounts.caps)
    return rooms


def _task(tx: Tx, item: NewOrder, suspected: bool) -> Task:
    order = item.checked.order
    warnings = [*item.checked.warnings, *(["duplicate_suspected"] if suspected else [])]
    return Task(
        id=tx.ids.new(),
        app_id=item.app_id,
        state=State.CREATED,
        reason=None,
        sequence=0,
        model=order.model,
        provider=None,
        submission_id=None,
        remote_id=None,
        order=item.shown,
        metadata=orjson.dumps(dict(order.metadata)).decode(),
        result=None,
        tokens=None,
        estimated_tokens=item.checked.estimated_tokens,
        error=None,
        flags=orjson.dumps(warnings).decode() if warnings else None,
        created_at=tx.now,
        updated_at=tx.now,
        news_at=tx.now,
        ended_at=None,
        deadline_at=tx.now + (order.execution_expires_after or DEFAULT_EXPIRY_S) * SECOND_MS,
        place_at=tx.now,
        poll_at=None,
        tries=0,
        asks=0,
        polls=0,
        missing=0,
        missing_at=None,
        receipts=0,
        route=route.as_text(desk.key for desk in item.checked.desks),
        rank=HIGHEST - (order.priority or 0),
    )


def _implicit(tx: Tx, parts: Parts, item: NewOrder, task_id: int) -> dict[str, Any]:
    """The order's own callback_url: a webhook for this one task, signed with the app's secret."""
    url = item.checked.order.callback_url
    assert url is not None
    app = apps.app(tx.sql, item.app_id)
    assert app is not None, "keys belong to apps"
    try:
        secret = parts.seal.open(bytes(app.sealed)).decode()
    except KeyMissing:
        raise KeyMissing(f"the secret of app {item.app_id}, which signs what a callback_url is told") from None
    row = subscription_row(
        parts,
        tx.ids.new(),
        item.app_id,
        tx.now,
        "webhook",
        Target(url, (secret,), {}, {}),
        EVERY_TASK_EVENT,
        {},
        label="callback_url",
    )
    return {**row, "task_id": task_id}


def estimate(parts: Parts, checked: Checked) -> Mapping[str, Any]:
    found = parts.catalog.estimate(checked.order)
    return {"tokens": found.tokens, "usd": None if found.usd is None else str(found.usd), "basis": found.basis}
