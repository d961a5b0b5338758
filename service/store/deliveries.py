"""Subscriptions and the promises made to them: deliveries, claimed by `due_at`, fenced, settled with their attempts."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, select, update

from service.store import compiled
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import among, insert
from service.store.tables import TABLES

_sub, _delivery, _attempt, _event, _app = (TABLES[n] for n in ("subscription", "delivery", "attempt", "event", "app"))

OPEN = "pending"


# --- subscriptions ---


def add_subscriptions(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    insert(tx, "subscription", rows)


_INTEREST = [_sub.c[n] for n in ("id", "app_id", "task_id", "events", "filter", "status", "version")]
_OF_APPS = Statement(
    lambda pg: select(*_INTEREST).where(
        compiled.among(pg, _sub.c.app_id, "apps"), _sub.c.task_id.is_(None), _sub.c.status != bindparam("gone", "deleted")
    )
)
_OF_TASKS = Statement(
    lambda pg: select(*_INTEREST).where(
        compiled.among(pg, _sub.c.task_id, "tasks"), _sub.c.task_id.is_not(None), _sub.c.status != bindparam("gone", "deleted")
    )
)


def interested(tx: Tx, app_ids: Iterable[str], task_ids: Iterable[int]) -> list[Any]:
    """Every living subscription of these apps, and those of these single tasks."""
    apps = _OF_APPS.one(tx.sql, apps=compiled.names(tx.postgres, set(app_ids)))
    tasks = _OF_TASKS.one(tx.sql, tasks=compiled.names(tx.postgres, set(task_ids)))
    return [*apps, *tasks]


def subscription(sql: Connection, app_id: str | None, subscription_id: int) -> Row[Any] | None:
    query = select(_sub).where(_sub.c.id == subscription_id, _sub.c.status != "deleted")
    return sql.execute(query if app_id is None else query.where(_sub.c.app_id == app_id)).first()


def subscriptions_page(sql: Connection, app_id: str, before_id: int | None, limit: int) -> list[Row[Any]]:
    query = select(_sub).where(_sub.c.app_id == app_id, _sub.c.task_id.is_(None), _sub.c.status != "deleted")
    if before_id is not None:
        query = query.where(_sub.c.id < before_id)
    return list(sql.execute(query.order_by(_sub.c.id.desc()).limit(limit)))


def change_subscription(tx: Tx, app_id: str, subscription_id: int, values: dict[str, Any]) -> int:
    statement = update(_sub).where(_sub.c.id == subscription_id, _sub.c.app_id == app_id, _sub.c.status != "deleted")
    return tx.sql.execute(statement.values(**values, version=_sub.c.version + 1)).rowcount


# --- deliveries ---


def add_deliveries(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    insert(tx, "delivery", rows)


_DUE = (
    _delivery.c.id,
    _delivery.c.app_id,
    _delivery.c.subscription_id,
    _delivery.c.event_id,
    _delivery.c.attempts,
    _delivery.c.fence,
    _delivery.c.hurried,
    _event.c.type,
    _event.c.at,
    _event.c.body,
    _sub.c.version,
    _sub.c.status,
)


def claim_due(tx: Tx, limit: int, lease_until: int, full: Sequence[int]) -> list[Row[Any]]:
    """Deliveries whose time has come, oldest first, except those of lanes that are full; leased and fenced."""
    due = select(_delivery.c.id).where(_delivery.c.due_at.is_not(None), _delivery.c.due_at <= tx.now)
    if full:
        due = due.where(_delivery.c.subscription_id.not_in(full))
    due = due.order_by(_delivery.c.due_at).limit(limit)
    ids = list(tx.sql.execute(due.with_for_update(skip_locked=True) if tx.postgres else due).scalars())
    if not ids:
        return []
    moved = (
        update(_delivery).where(among(tx.postgres, _delivery.c.id, ids)).values(due_at=lease_until, fence=_delivery.c.fence + 1)
    )
    tx.sql.execute(moved)
    found = (
        select(*_DUE)
        .join(_event, _event.c.id == _delivery.c.event_id)
        .join(_sub, _sub.c.id == _delivery.c.subscription_id)
        .where(among(tx.postgres, _delivery.c.id, ids))
        .order_by(_delivery.c.id)
    )
    return list(tx.sql.execute(found))


def held(tx: Tx, claims: Sequence[tuple[int, int]]) -> set[int]:
    """Which of these (delivery, fence) leases still stand; locked."""
    query = (
        select(_delivery.c.id, _delivery.c.fence)
        .where(among(tx.postgres, _delivery.c.id, [i for i, _ in claims]), _delivery.c.state == OPEN)
        .order_by(_delivery.c.id)
    )
    if tx.postgres:
        query = query.with_for_update()
    fences = {row.id: row.fence for row in tx.sql.execute(query)}
    return {i for i, fence in claims if fences.get(i) == fence}


_SETTLE = Statement(
    lambda _: (
        update(_delivery)
        .where(_delivery.c.id == bindparam("_id"))
        .values(
            state=bindparam("_state"),
            attempts=bindparam("_attempts"),
            hurried=bindparam("_hurried"),
            due_at=bindparam("_due_at"),
            ended_at=bindparam("_ended_at"),
        )
    )
)


def settle(tx: Tx, rows: Sequence[dict[str, Any]], attempts: Sequence[dict[str, Any]]) -> None:
    """Outcomes together with their attempts."""
    _SETTLE.many(tx.sql, rows)
    insert(tx, "attempt", attempts)


def release(tx: Tx, claims: Sequence[tuple[int, int]]) -> None:
    """Leases given back unused: due at once for anybody."""
    standing = held(tx, claims)
    tx.sql.execute(update(_delivery).where(among(tx.postgres, _delivery.c.id, sorted(standing))).values(due_at=tx.now))


def skip_open(tx: Tx, subscription_id: int) -> int:
    """A disabled subscription keeps what it would have been told as skipped, to be recovered."""
    statement = update(_delivery).where(_delivery.c.subscription_id == subscription_id, _delivery.c.state == OPEN)
    return tx.sql.execute(statement.values(state="skipped", due_at=None, ended_at=tx.now)).rowcount


def mark_failing(tx: Tx, subscription_ids: Iterable[int]) -> None:
    failing = and_(among(tx.postgres, _sub.c.id, sorted(set(subscription_ids))), _sub.c.failing_since.is_(None))
    tx.sql.execute(update(_sub).where(failing).values(failing_since=tx.now))


def mark_working(tx: Tx, subscription_ids: Iterable[int]) -> None:
    working = and_(among(tx.postgres, _sub.c.id, sorted(set(subscription_ids))), _sub.c.failing_since.is_not(None))
    tx.sql.execute(update(_sub).where(working).values(failing_since=None))


def failing_since(tx: Tx, subscription_ids: Iterable[int]) -> dict[int, int]:
    query = select(_sub.c.id, _sub.c.failing_since).where(
        among(tx.postgres, _sub.c.id, sorted(set(subscription_ids))), _sub.c.failing_since.is_not(None)
    )
    return {row.id: row.failing_since for row in tx.sql.execute(query)}


def disable(tx: Tx, subscription_id: int, reason: str) -> bool:
    """True for the one who did it: the operational event is told once."""
    statement = update(_sub).where(_sub.c.id == subscription_id, _sub.c.status.in_(("active", "paused")))
    values = {"status": "disabled", "reason": reason, "status_at": tx.now, "version": _sub.c.version + 1}
    return bool(tx.sql.execute(statement.values(**values)).rowcount)


def park_open(tx: Tx, subscription_id: int) -> int:
    statement = update(_delivery).where(_delivery.c.subscription_id == subscription_id, _delivery.c.state == OPEN)
    return tx.sql.execute(statement.values(due_at=None, fence=_delivery.c.fence + 1)).rowcount


def wake_parked(tx: Tx, subscription_id: int) -> int:
    parked = and_(_delivery.c.subscription_id == subscription_id, _delivery.c.state == OPEN, _delivery.c.due_at.is_(None))
    return tx.sql.execute(update(_delivery).where(parked).values(due_at=tx.now)).rowcount


def send_again(tx: Tx, app_id: str, delivery_id: int) -> bool:
    """Due now, whatever it was; its name and its body stay. The fence moves on, so that nobody settles an older claim."""
    again = update(_delivery).where(_delivery.c.id == delivery_id, _delivery.c.app_id == app_id)
    return bool(tx.sql.execute(again.values(state=OPEN, due_at=tx.now, ended_at=None, fence=_delivery.c.fence + 1)).rowcount)


# --- reads ---

_SHOWN = (_delivery, _event.c.type, _event.c.task_id, _event.c.sequence)


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
    query = select(*_SHOWN).join(_event, _event.c.id == _delivery.c.event_id).where(_delivery.c.app_id == app_id)
    if before_id is not None:
        query = query.where(_delivery.c.id < before_id)
    if from_id is not None:
        query = query.where(_delivery.c.id >= from_id)
    if state is not None:
        query = query.where(_delivery.c.state == state)
    if subscription_id is not None:
        query = query.where(_delivery.c.subscription_id == subscription_id)
    if task_id is not None:
        query = query.where(_event.c.task_id == task_id)
    return list(sql.execute(query.order_by(_delivery.c.id.desc()).limit(limit)))


def attempts(sql: Connection, delivery_ids: Sequence[int]) -> list[Row[Any]]:
    return list(
        sql.execute(
            select(_attempt).where(_attempt.c.delivery_id.in_(delivery_ids)).order_by(_attempt.c.delivery_id, _attempt.c.number)
        )
    )


def of_task(sql: Connection, app_id: str, task_id: int) -> list[Row[Any]]:
    query = select(*_SHOWN).join(_event, _event.c.id == _delivery.c.event_id)
    return list(sql.execute(query.where(_event.c.task_id == task_id, _delivery.c.app_id == app_id).order_by(_delivery.c.id)))


def newest(sql: Connection, subscription_id: int) -> int:
    return int(sql.execute(select(func.max(_delivery.c.id)).where(_delivery.c.subscription_id == subscription_id)).scalar_one())


def next_due_at(sql: Connection) -> int | None:
    found: int | None = sql.execute(select(func.min(_delivery.c.due_at)).where(_delivery.c.due_at.is_not(None))).scalar_one()
    return found


def app_secret(sql: Connection, app_id: str) -> bytes | None:
    row = sql.execute(select(_app.c.sealed).where(_app.c.id == app_id)).first()
    return None if row is None else bytes(row.sealed)
