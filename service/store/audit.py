"""The rows of an audit, a bounded page at a time and each page as of one moment. Reads only."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from sqlalchemy import Column, Connection, Integer, Row, Table, bindparam, select

from service.domain.audit import Breach, File, Promise, View, loose, of_delivery, of_subscription, of_task
from service.store import compiled
from service.store.compiled import Statement
from service.store.rows import submission_columns, task_columns, to_submission, to_task
from service.store.tables import TABLES

_task, _order, _submission, _receipt, _event, _delivery, _attempt, _sub, _lane, _key = (
    TABLES[n]
    for n in (
        "task",
        "task_order",
        "submission",
        "receipt",
        "event",
        "delivery",
        "attempt",
        "subscription",
        "lane",
        "idempotency",
    )
)
PAGE = 500
"""Tasks or deliveries read at once: some tens of milliseconds, in which nobody is held up."""
MOST = 1_000
"""Breaches of one kind that are looked for; whoever has more has one problem, not a thousand."""

Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]


@dataclass(slots=True)
class Audited:
    tasks: int = 0
    deliveries: int = 0
    subscriptions: int = 0
    breaches: list[Breach] = field(default_factory=list)


async def audit(read: Read, view: Callable[[], View], progress: Callable[[Audited], None] = lambda _: None) -> Audited:
    """Everything there is. `view` is asked for each page: time passes."""
    done = Audited()
    done.breaches += await read(lambda sql: list(loose(_loose(sql), view())))
    for page, judge, count in (
        (_files, of_task, "tasks"),
        (_promises, of_delivery, "deliveries"),
        (_subscriptions, of_subscription, "subscriptions"),
    ):
        after: int | None = -1
        while after is not None:
            look = partial(_page, after=after, page=page, judge=judge, count=count, view=view(), done=done)
            after = await read(look)
            progress(done)
    return done


def _page(
    sql: Connection,
    after: int,
    page: Callable[[Connection, int], tuple[int | None, Iterable[Any]]],
    judge: Callable[[Any, View], Iterator[Breach]],
    count: str,
    view: View,
    done: Audited,
) -> int | None:
    if sql.dialect.name == "postgresql":
        sql.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    last, found = page(sql, after)
    for each in found:
        setattr(done, count, getattr(done, count) + 1)
        done.breaches += judge(each, view)
    return last


def _after(sql: Connection, columns: Iterable[Any], key: Column[Any], after: int) -> tuple[int | None, list[Row[Any]]]:
    rows = list(_paged(tuple(columns), key).one(sql, after=after, most=PAGE))
    return (rows[-1].id if len(rows) == PAGE else None), rows


@cache
def _paged(columns: Sequence[Column[Any]], key: Column[Any]) -> Statement:
    most = bindparam("most", type_=Integer())
    return Statement(lambda _: select(*columns).where(key > bindparam("after")).order_by(key).limit(most))


def _files(sql: Connection, after: int) -> tuple[int | None, Iterable[File]]:
    last, rows = _after(sql, task_columns(), _task.c.id, after)
    tasks = [to_task(row) for row in rows]
    names = [task.id for task in tasks]
    submissions = _by(sql, submission_columns(), _submission.c.task_id, names, _submission.c.number)
    events = _by(sql, _event.c, _event.c.task_id, names, _event.c.id)
    receipts = _by(sql, [_receipt.c.task_id, _receipt.c.app_id], _receipt.c.task_id, names, _receipt.c.id)
    pg = sql.dialect.name == "postgresql"
    event_ids = [event.id for found in events.values() for event in found]
    told = {(row[0], row[1]) for row in _TOLD.plain(sql, ids=compiled.names(pg, event_ids))} if event_ids else set()
    orders = {row[0] for row in _ORDERS.plain(sql, ids=compiled.names(pg, names))} if names else set()
    own = _by(sql, _sub.c, _sub.c.task_id, names, _sub.c.id)
    of_app: dict[str, list[Any]] = defaultdict(list)
    for row in _EVERYBODY.one(sql):
        of_app[row.app_id].append(row)
    return last, (
        File(
            task,
            [to_submission(row) for row in submissions[task.id]],
            events[task.id],
            frozenset(row.app_id for part in (submissions, events, receipts, own) for row in part[task.id]),
            task.id in orders,
            told,
            [*of_app[task.app_id], *own[task.id]],
        )
        for task in tasks
    )


_TOLD = Statement(
    lambda pg: select(_delivery.c.event_id, _delivery.c.subscription_id).where(compiled.among(pg, _delivery.c.event_id, "ids"))
)
_ORDERS = Statement(lambda pg: select(_order.c.task_id).where(compiled.among(pg, _order.c.task_id, "ids")))
_EVERYBODY = Statement(
    lambda _: select(_sub).where(_sub.c.task_id.is_(None), _sub.c.status != bindparam("_gone", "deleted")).order_by(_sub.c.id)
)


def _promises(sql: Connection, after: int) -> tuple[int | None, Iterable[Promise]]:
    last, rows = _after(sql, _delivery.c, _delivery.c.id, after)
    events = _one(sql, [_event.c.id, _event.c.app_id, _event.c.task_id], _event.c.id, {row.event_id for row in rows})
    named = {row.subscription_id for row in rows}
    subs, lanes = _one(sql, _sub.c, _sub.c.id, named), _one(sql, _lane.c, _lane.c.id, named)
    columns = [_attempt.c[n] for n in ("delivery_id", "number", "outcome", "error")]
    attempts = _by(sql, columns, _attempt.c.delivery_id, [row.id for row in rows], _attempt.c.number)
    return last, (
        Promise(row, events.get(row.event_id), subs.get(row.subscription_id), lanes.get(row.subscription_id), attempts[row.id])
        for row in rows
    )


def _subscriptions(sql: Connection, after: int) -> tuple[int | None, Iterable[Any]]:
    return _after(sql, _sub.c, _sub.c.id, after)


def _loose(sql: Connection) -> dict[str, Sequence[Any]]:
    return {what: statement.one(sql, most=MOST) for what, statement in _ORPHANS.items()}


def _orphans(table: Table, *columns: Column[Any]) -> Statement:
    query = select(*columns, table.c.task_id).outerjoin(_task, _task.c.id == table.c.task_id)
    lost = query.where(table.c.task_id.is_not(None), _task.c.id.is_(None)).limit(bindparam("most", type_=Integer()))
    return Statement(lambda _: lost)


_ORPHANS = {
    "submissions": _orphans(_submission, _submission.c.id),
    "receipts": _orphans(_receipt, _receipt.c.id),
    "events": _orphans(_event, _event.c.id),
    "keys": _orphans(_key, _key.c.app_id, _key.c.key),
}


def _by(
    sql: Connection, columns: Iterable[Any], key: Column[Any], names: Sequence[int], order: Column[Any]
) -> dict[int, list[Any]]:
    """Rows by what they hang on."""
    found: dict[int, list[Any]] = defaultdict(list)
    if names:
        for row in _hanging(tuple(columns), key, order).one(sql, names=compiled.names(sql.dialect.name == "postgresql", names)):
            found[getattr(row, key.name)].append(row)
    return found


@cache
def _hanging(columns: Sequence[Column[Any]], key: Column[Any], order: Column[Any]) -> Statement:
    return Statement(lambda pg: select(*columns).where(compiled.among(pg, key, "names")).order_by(key, order))


def _one(sql: Connection, columns: Iterable[Any], key: Column[Any], names: Iterable[int]) -> dict[int, Any]:
    wanted = sorted(names)
    return {name: rows[0] for name, rows in _by(sql, columns, key, wanted, key).items()}
