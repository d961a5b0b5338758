"""Clean-up, a bounded part at a time. Names of rows grow with time, so that everything old is one range at the low end of
a primary key: nothing is searched, and a sweep that finds nothing has looked at one row."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, Table, delete, select, text, tuple_

from service.domain.ids import first_id_at
from service.domain.lifecycle import SETTLED
from service.store.database import Tx
from service.store.rows import among
from service.store.tables import TABLES

_task, _order, _label, _submission, _receipt, _event, _delivery, _attempt, _sub, _lane, _key, _job = (
    TABLES[n]
    for n in (
        "task",
        "task_order",
        "task_label",
        "submission",
        "receipt",
        "event",
        "delivery",
        "attempt",
        "subscription",
        "lane",
        "idempotency",
        "job",
    )
)


def drop_receipts(tx: Tx, before: int, most: int, after_id: int) -> tuple[int, int]:
    """Of tasks that have ended: what was told of an open one may still have to be believed. How many went, and the place to go
    on from; 0: that was the last part."""
    return _of_the_ended(tx, _receipt, _receipt.c.id, before, most, after_id)


def drop_attempts(tx: Tx, before: int, most: int, after_id: int) -> tuple[int, int]:
    """Those made before then, and the place to go on from. An old delivery may have been tried, or sent again, today: its
    newer attempts are stepped over."""
    pairs = tx.sql.execute(
        select(_attempt.c.delivery_id, _attempt.c.at)
        .where(_attempt.c.delivery_id > after_id, _attempt.c.delivery_id < first_id_at(before))
        .order_by(_attempt.c.delivery_id, _attempt.c.number)
        .limit(most)
    ).all()
    ids = sorted({pair.delivery_id for pair in pairs if pair.at < before})
    old = delete(_attempt).where(among(tx.postgres, _attempt.c.delivery_id, ids), _attempt.c.at < before)
    return tx.sql.execute(old).rowcount if ids else 0, pairs[-1].delivery_id if len(pairs) == most else 0


def drop_orders(tx: Tx, before: int, most: int, after_id: int) -> tuple[int, int]:
    """Whole orders of ended tasks. How many went, and the place to go on from: those of open tasks are stepped over. 0: that
    was the last part."""
    return _of_the_ended(tx, _order, _order.c.task_id, before, most, after_id)


def drop_events(tx: Tx, before: int, most: int, after_id: int) -> tuple[int, int]:
    """How many went, and the place to go on from. Those that are still to be told of are stepped over, and with them the
    others of their tasks: a timeline has no holes."""
    query = select(_event.c.id, _event.c.task_id).where(_event.c.id > after_id, _event.c.id < first_id_at(before))
    found = tx.sql.execute(query.order_by(_event.c.id).limit(most)).all()
    task_of = _told_of(tx, {row.task_id for row in found if row.task_id is not None})
    owed = _owed(tx, [*{row.id for row in found}.union(task_of)])
    waited_for = {task_of[i] for i in owed if i in task_of}
    gone = [row.id for row in found if row.id not in owed and row.task_id not in waited_for]
    return _events(tx, gone), found[-1].id if len(found) == most else 0


def drop_tasks(tx: Tx, before: int, most: int, after_id: int) -> tuple[int, int]:
    """Ended tasks with everything that belongs to them; those that are open, or still to be told of, are stepped over."""
    rows = tx.sql.execute(
        select(_task.c.id, _task.c.state, _task.c.updated_at)
        .where(_task.c.id > after_id, _task.c.id < first_id_at(before))
        .order_by(_task.c.id)
        .limit(most)
    ).all()
    ended = [row.id for row in rows if row.state in SETTLED and row.updated_at < before]
    task_of = _told_of(tx, ended)
    waited_for = {task_of[i] for i in _owed(tx, list(task_of))}
    ended = [i for i in ended if i not in waited_for]
    if ended:
        _events(tx, [i for i, task_id in task_of.items() if task_id not in waited_for])
        own = list(tx.sql.execute(select(_sub.c.id).where(among(tx.postgres, _sub.c.task_id, ended))).scalars())
        for table in (_lane, _sub):
            _drop(tx, table, table.c.id, own)
        for table in (_receipt, _order, _label, _submission):
            _drop(tx, table, table.c.task_id, ended)
        _drop(tx, _task, _task.c.id, ended)
    return len(ended), rows[-1].id if len(rows) == most else 0


def drop_subscriptions(tx: Tx, before: int, most: int) -> int:
    """Those removed before then."""
    query = select(_sub.c.id).where(text("subscription.status = 'deleted'"), _sub.c.status_at < before)
    gone = list(tx.sql.execute(query.order_by(_sub.c.status_at).limit(most)).scalars())
    _drop(tx, _lane, _lane.c.id, gone)
    return _drop(tx, _sub, _sub.c.id, gone)


def drop_jobs(tx: Tx, before: int, most: int) -> int:
    ended = select(_job.c.id).where(_job.c.id < first_id_at(before), _job.c.due_at.is_(None)).order_by(_job.c.id).limit(most)
    return _drop(tx, _job, _job.c.id, list(tx.sql.execute(ended).scalars()))


def drop_keys(tx: Tx, before: int, most: int) -> int:
    old = select(_key.c.app_id, _key.c.key).where(_key.c.created_at < before).order_by(_key.c.created_at).limit(most)
    return tx.sql.execute(delete(_key).where(tuple_(_key.c.app_id, _key.c.key).in_(old))).rowcount


def _of_the_ended(tx: Tx, table: Table, key: Column[Any], before: int, most: int, after_id: int) -> tuple[int, int]:
    rows = tx.sql.execute(
        select(key.label("name"), _task.c.state)
        .join_from(table, _task, _task.c.id == table.c.task_id, isouter=True)
        .where(key > after_id, key < first_id_at(before))
        .order_by(key)
        .limit(most)
    ).all()
    ended = [row.name for row in rows if row.state is None or row.state in SETTLED]
    return _drop(tx, table, key, ended), rows[-1].name if len(rows) == most else 0


def _told_of(tx: Tx, task_ids: Collection[int]) -> dict[int, int]:
    """The events of these tasks, each with its task."""
    if not task_ids:
        return {}
    told = select(_event.c.id, _event.c.task_id).where(among(tx.postgres, _event.c.task_id, task_ids))
    return {row.id: row.task_id for row in tx.sql.execute(told)}


def _owed(tx: Tx, event_ids: Sequence[int]) -> set[int]:
    """Those of them that an active subscription is still to be told of: its schedule, or its backlog, may be longer than what
    happened is kept. One that was paused all that time is owed nothing any more."""
    open_ones = select(_delivery.c.event_id).join(_sub, _sub.c.id == _delivery.c.subscription_id)
    open_ones = open_ones.where(among(tx.postgres, _delivery.c.event_id, event_ids), _delivery.c.due_at.is_not(None))
    return set(tx.sql.execute(open_ones.where(_sub.c.status == "active")).scalars()) if event_ids else set()


def _events(tx: Tx, event_ids: Sequence[int]) -> int:
    """With their deliveries and attempts, whatever became of them."""
    told = list(tx.sql.execute(select(_delivery.c.id).where(among(tx.postgres, _delivery.c.event_id, event_ids))).scalars())
    _drop(tx, _attempt, _attempt.c.delivery_id, told)
    _drop(tx, _delivery, _delivery.c.id, told)
    return _drop(tx, _event, _event.c.id, event_ids)


def _drop(tx: Tx, table: Table, key: Column[Any], ids: Sequence[int]) -> int:
    return tx.sql.execute(delete(table).where(among(tx.postgres, key, ids))).rowcount if ids else 0
