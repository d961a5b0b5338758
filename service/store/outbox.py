"""Deliveries and their attempts as people look at them: one, a page of them, those of a task. Nothing is locked or changed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, TextClause, and_, func, select, text

from service.store.deliveries import UNDELIVERED
from service.store.rows import named_from
from service.store.tables import TABLES

_delivery, _attempt, _event = (TABLES[n] for n in ("delivery", "attempt", "event"))

_TOLD = (_event.c.type, _event.c.task_id, _event.c.sequence)
_SHOWN = (_delivery, *_TOLD)


def delivery(sql: Connection, app_id: str, delivery_id: int) -> Row[Any] | None:
    query = select(*_SHOWN).join(_event, _event.c.id == _delivery.c.event_id)
    return sql.execute(query.where(_delivery.c.id == delivery_id, _delivery.c.app_id == app_id)).first()


def page(
    sql: Connection,
    app_id: str,
    *,
    before_id: int | None,
    limit: int,
    state: str | None = None,
    subscription_id: int | None = None,
    task_id: int | None = None,
    from_id: int | None = None,
) -> list[Row[Any]]:
    wanted: list[ColumnElement[bool] | TextClause] = []
    order: ColumnElement[int] = _delivery.c.id
    if before_id is not None:
        wanted.append(_delivery.c.id < before_id)
    if from_id is not None:
        wanted.append(_delivery.c.id >= from_id)
    if state in UNDELIVERED:
        # As in the partial index, letter by letter: among a million delivered ones these few are found at once.
        wanted.append(text("delivery.state IN ('abandoned', 'skipped')"))
    if state is not None:
        wanted.append(_delivery.c.state == state)
    if subscription_id is not None:
        wanted.append(_delivery.c.subscription_id == subscription_id)
    if task_id is not None:
        # A few rows to be sorted: the sum keeps planners from walking all there are in the hope to meet them.
        wanted.append(_of_task(sql, task_id))
        order = _delivery.c.id + 0
    if subscription_id is None and task_id is None:
        wanted.append(_delivery.c.app_id == app_id)
    found = select(_delivery).where(*wanted).order_by(order.desc()).limit(limit).subquery()
    # What belongs to one subscription or one task belongs to one app: it is looked at last, lest a planner without
    # statistics lays everything that the app has over the few.
    query = select(found, *_TOLD).join(_event, _event.c.id == found.c.event_id).where(found.c.app_id == app_id)
    return list(sql.execute(query.order_by(found.c.id.desc())))


def _of_task(sql: Connection, task_id: int) -> ColumnElement[bool]:
    """The names of a task's events first: joined from there, a planner without statistics takes them for half a percent of
    all events, and reads every delivery. The range, which leaves nobody out, makes it sure that one event has few."""
    told = select(_event.c.id).where(_event.c.task_id == task_id)
    if sql.dialect.name != "postgresql":
        return _delivery.c.event_id.in_(told)
    return and_(
        _delivery.c.event_id == func.any(func.array(told.scalar_subquery())), named_from(_delivery.c.subscription_id, 0)
    )


def attempts(sql: Connection, delivery_ids: Sequence[int]) -> list[Row[Any]]:
    return list(
        sql.execute(
            select(_attempt).where(_attempt.c.delivery_id.in_(delivery_ids)).order_by(_attempt.c.delivery_id, _attempt.c.number)
        )
    )


def of_task(sql: Connection, app_id: str, task_id: int) -> list[Row[Any]]:
    query = select(*_SHOWN).join(_event, _event.c.id == _delivery.c.event_id)
    # The sums keep planners from walking all of the app's.
    query = query.where(_of_task(sql, task_id), _delivery.c.app_id + "" == app_id)
    return list(sql.execute(query.order_by(_delivery.c.id + 0)))
