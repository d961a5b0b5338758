"""Orders in: judged before anything is sent, committed before anything is sent, sent at most once.

`place_order` writes the task, and its first submission when an account has room and nobody waits, and answers once both are
durable; `place_waiting` starts what waits, in fair order; `send` makes the paid request and brings the outcome to the one
door. A submission whose outcome is unknown is never sent again from here.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from service.accounts import Desk
from service.channels.base import Target
from service.domain import ids
from service.domain.admission import Key, Waiting, admit, choose
from service.domain.advance import Again, RanOut, Source
from service.domain.errors import BadOrder, Fault, KeyReused, Unavailable
from service.domain.lifecycle import State
from service.domain.matching import EVERY_TASK_EVENT
from service.domain.order import Order, shown
from service.domain.patience import DEFAULT_EXPIRY_S, SECOND_MS, SENDING_SLACK_MS
from service.domain.report import Busy, NotSent, Rejected, SubmitOutcome
from service.domain.task import Outcome, Submission, Task
from service.flow import breakers, gateway
from service.flow.record import Arrival, record
from service.flow.subscribe import subscription_row
from service.parts import Parts, Placement
from service.providers.base import Callbacks
from service.store import accounts, apps, deliveries, tasks, waiting
from service.store.database import Tx

log = logging.getLogger("callsheet.submit")

HIGHEST = 9
"""Priority of an order, as Ark counts it."""
SUSPECT_MS = 60_000
"""An equal order under another key within this is placed, and marked."""
RAN_OUT = 100
"""Orders whose time is over that one round ends."""
RECORD_TRIES = 60
"""The outcome of a paid request is brought to the door again and again while the database is away, about a minute."""


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
    task: Task
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
        faults = parts.channels["webhook"].check(order.callback_url, {})
        if faults:
            raise BadOrder("the order's callback_url cannot be used", [Fault("callback_url", f.message) for f in faults])
    desks, faults = parts.accounts.able(order)
    if not desks:
        raise BadOrder("no configured provider can carry out this order", faults)
    return Checked(order, desks, tuple(checked.warnings), parts.catalog.estimate(order).tokens)


async def place_order(parts: Parts, app_id: str, order: Order, key: str | None = None) -> Placed:
    checked = check(parts, order)
    body = orjson.dumps(order.as_dict(), option=orjson.OPT_SORT_KEYS)
    item = NewOrder(app_id, checked, body, orjson.dumps(shown(order)).decode(), key, hashlib.sha256(body).digest())
    placed: Placed = await parts.db.group(add_orders, parts, item)
    if placed.reused:
        raise KeyReused("this Idempotency-Key came with another order before; use a new key for a new order")
    if placed.placement is not None:
        parts.submitter.put([placed.placement])
    elif not placed.replayed:
        parts.submitter.bell.set()
    return placed


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
            answers.append(Placed(known[task_id], replayed=True, reused=digest != item.digest))
            continue
        task = _task(tx, item, suspected=(item.app_id, item.digest) in suspects)
        suspects.add((item.app_id, item.digest))
        placement = None
        key = choose([desk.key for desk in item.checked.desks], 0, rooms) if room > 0 else None
        if key is not None:
            room -= 1
            rooms[key] -= 1
            _probe(tx, parts, key)
            task, submission = start(tx, task, parts.accounts.desks[key])
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
    tasks.add(tx, added, orders, labels)
    tasks.add_submissions(tx, submissions)
    tasks.add_keys(tx, keys)
    deliveries.add_subscriptions(tx, implicit)
    return answers


def _rooms_for_newcomers(tx: Tx, parts: Parts) -> dict[Key, int]:
    """Nobody who comes now goes before somebody who waits."""
    if parts.submitter.room() <= 0 or waiting.anybody_due(tx):
        return {}
    rooms, parts.accounts.breakers, _ = waiting.rooms(tx.sql, tx.now, parts.accounts.caps)
    return rooms


def _probe(tx: Tx, parts: Parts, key: Key) -> None:
    """An order that goes to an account which was left alone is its probe, and the only one."""
    breaker = parts.accounts.breakers.get(key)
    if breaker is not None and breaker.open_until is not None:
        accounts.save_breaker(tx, key, breaker.probing(tx.now))


def start(tx: Tx, task: Task, desk: Desk) -> tuple[Task, Submission]:
    """The submission that will be sent once this is committed. If the process dies before it hears the answer, the task is
    looked at when even a slow answer is overdue."""
    account = desk.account
    submission = Submission(
        id=tx.ids.new(),
        task_id=task.id,
        app_id=task.app_id,
        number=task.tries + 1,
        provider=account.provider,
        account=account.name,
        base_url=account.base_url,
        outcome=Outcome.SENDING,
        remote_id=None,
        reason=None,
        sent_at=tx.now,
        answered_at=None,
        conflict_at=None,
    )
    overdue_at = tx.now + int(desk.terms.submit_timeout_s * SECOND_MS) + SENDING_SLACK_MS
    task = replace(
        task,
        submission_id=submission.id,
        provider=account.provider,
        account=account.name,
        tries=task.tries + 1,
        place_at=None,
        poll_at=overdue_at,
        reason=None,
    )
    return task, submission


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
        route=waiting.as_route(desk.key for desk in item.checked.desks),
        rank=HIGHEST - (order.priority or 0),
    )


def _implicit(tx: Tx, parts: Parts, item: NewOrder, task_id: int) -> dict[str, Any]:
    """The order's own callback_url: a webhook for this one task, signed with the app's secret."""
    url = item.checked.order.callback_url
    assert url is not None
    app = apps.app(tx.sql, item.app_id)
    assert app is not None, "keys belong to apps"
    secret = parts.seal.open(bytes(app.sealed)).decode()
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


# --- sending ---


async def send(parts: Parts, placement: Placement) -> SubmitOutcome | Again:
    """One paid request, and its outcome through the one door."""
    submission = placement.submission
    outcome = await _ask_gateway(parts, placement)
    parts.metrics.submitted(submission.provider, type(outcome).__name__.lower())
    log.info(
        "submission.answered",
        extra={
            "task": ids.encode(ids.TASK, submission.task_id),
            "provider": submission.provider,
            "account": submission.account,
            "outcome": type(outcome).__name__,
        },
    )
    news: SubmitOutcome | Again = outcome
    elsewhere = submission.number < len(_configured(parts, placement.task))
    match outcome:
        case Rejected() if outcome.blames_account and elsewhere:
            news = Again(outcome)
        case NotSent() | Busy() if elsewhere:
            news = Again(outcome)
    await _bring(parts, Arrival(news, Source.SUBMIT, submission.id))
    await breakers.weigh(parts, (submission.provider, submission.account), news)
    return news


async def _ask_gateway(parts: Parts, placement: Placement) -> SubmitOutcome:
    submission = placement.submission
    desk = parts.accounts.get(submission.provider, submission.account)
    if desk is None or desk.account.base_url != submission.base_url:
        return NotSent("this account is not configured any more")
    order = Order.of(orjson.loads(placement.order))
    if desk.marks and order.safety_identifier is None:
        order = replace(order, safety_identifier=ids.encode(ids.SUBMISSION, submission.id))
    callback_url = None
    if desk.callbacks is not Callbacks.NONE:
        token = parts.tokens.mint(submission.provider, submission.id)
        callback_url = f"{parts.public_url}/callbacks/{submission.provider}/{token}"
    request = desk.gateway.submit(desk.account, order, callback_url)
    return await gateway.place(parts, desk, request)


def _configured(parts: Parts, task: Task) -> list[Key]:
    """Of the accounts that may take the order, those that still exist."""
    return [key for key in waiting.as_keys(task.route) if key in parts.accounts.desks]


async def _bring(parts: Parts, arrival: Arrival) -> None:
    for attempt in range(RECORD_TRIES):
        try:
            await record(parts, arrival)
            return
        except Unavailable:
            await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
    # Nothing is lost for good: the submission stays `sending`, and is looked at when its answer is overdue.
    log.error("submission.outcome_not_stored", extra={"submission": arrival.submission_id})


async def place_waiting(parts: Parts, limit: int) -> list[Placement]:
    """Claim what waits to be placed and has room, and start a submission for each. Sends nothing."""
    started, ran_out = await parts.db.write(lambda tx: _start_waiting(tx, parts, limit))
    for task_id in ran_out:
        await record(parts, Arrival(RanOut(), Source.OWN, task_id=task_id))
    return started


def _start_waiting(tx: Tx, parts: Parts, limit: int) -> tuple[list[Placement], list[int]]:
    ran_out = waiting.ran_out(tx.sql, tx.now, RAN_OUT)
    if limit <= 0 or not waiting.anybody_due(tx):
        return [], ran_out
    waiting.take_turn(tx)
    rooms, parts.accounts.breakers, loads = waiting.rooms(tx.sql, tx.now, parts.accounts.caps)
    found = _candidates(tx, parts, rooms, limit)
    chosen = admit(
        [w for w, _ in found.values()], rooms, loads, waiting.weights(tx, sorted({w.app_id for w, _ in found.values()})), limit
    )
    bodies = tasks.order_bodies(tx.sql, [task_id for task_id, _ in chosen])
    started: list[Placement] = []
    for task_id, key in chosen:
        begun, submission = start(tx, found[task_id][1], parts.accounts.desks[key])
        started.append(Placement(begun, submission, bodies[task_id]))
        _probe(tx, parts, key)
    tasks.save(tx, [p.task for p in started], [])
    tasks.add_submissions(tx, [p.submission for p in started])
    return started, ran_out


def _candidates(tx: Tx, parts: Parts, rooms: Mapping[Key, int], limit: int) -> dict[int, tuple[Waiting, Task]]:
    """The first of every lane that leads to an account with room; a lane without room is not even looked at."""
    found: dict[int, tuple[Waiting, Task]] = {}
    for lane in waiting.lanes(tx.sql):
        orphaned = not any(key in rooms for key in lane.keys)
        if not orphaned and not any(rooms.get(key, 0) > 0 for key in lane.keys):
            continue
        first = waiting.first(tx, lane, limit)
        bodies = tasks.order_bodies(tx.sql, [t.id for t in first]) if orphaned else {}
        for task in first:
            each = waiting.as_waiting(task, lane)
            if orphaned:  # its accounts are gone from the configuration: others may do
                desks, _ = parts.accounts.able(Order.of(orjson.loads(bodies[task.id])))
                each = replace(each, route=[desk.key for desk in desks])
            found[task.id] = (each, task)
    return found


def estimate(parts: Parts, checked: Checked) -> Mapping[str, Any]:
    found = parts.catalog.estimate(checked.order)
    return {"tokens": found.tokens, "usd": None if found.usd is None else str(found.usd), "basis": found.basis}
