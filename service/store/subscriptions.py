"""Who wants to know: subscriptions, each with its lane, and what is asked of all of them when something happens."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, select, text, union_all, update

from service.store import compiled, lanes
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import among, insert
from service.store.tables import TABLES

_sub, _lane = TABLES["subscription"], TABLES["lane"]


def add(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Each with its lane."""
    insert(tx, "subscription", rows)
    lanes.add(tx, [row["id"] for row in rows])
    lanes.add_paces(tx, {row["pace_id"] for row in rows if row.get("pace_id") is not None})


class Interested(NamedTuple):
    """A subscription as far as it matters when something happens, and how its lane is."""

    id: int
    app_id: str
    task_id: int | None
    channel: str
    events: str
    filter: str
    rate: int | None
    status: str
    version: int
    due_at: int | None
    failures: int
    held_until: int


_INTEREST = [(_lane if name in ("due_at", "failures", "held_until") else _sub).c[name] for name in Interested._fields]
_INTERESTED = select(*_INTEREST).select_from(_sub.join(_lane, _lane.c.id == _sub.c.id))
_LISTENING = Statement(
    lambda pg: union_all(
        _INTERESTED.where(
            compiled.among(pg, _sub.c.app_id, "apps"), _sub.c.task_id.is_(None), _sub.c.status != bindparam("gone", "deleted")
        ),
        _INTERESTED.where(
            compiled.among(pg, _sub.c.task_id, "tasks"),
            _sub.c.task_id.is_not(None),
            _sub.c.status != bindparam("gone", "deleted"),
        ),
    )
)


def interested(tx: Tx, app_ids: Iterable[str], task_ids: Iterable[int]) -> list[Interested]:
    """Every living subscription of these apps, and those of these single tasks."""
    apps, tasks = compiled.names(tx.postgres, app_ids), compiled.names(tx.postgres, task_ids)
    return [Interested._make(row) for row in _LISTENING.plain(tx.sql, apps=apps, tasks=tasks)]


def by_id(sql: Connection, app_id: str | None, subscription_id: int) -> Row[Any] | None:
    found: Row[Any] | None = next(iter(_SUBSCRIPTION.one(sql, name=subscription_id)), None)
    return None if found is None or app_id not in (None, found.app_id) else found


_SUBSCRIPTION = Statement(lambda _: select(_sub).where(_sub.c.id == bindparam("name"), _sub.c.status != "deleted"))


def page(sql: Connection, app_id: str, before_id: int | None, limit: int) -> list[Row[Any]]:
    query = select(_sub).where(_sub.c.app_id == app_id, _sub.c.task_id.is_(None), _sub.c.status != "deleted")
    if before_id is not None:
        query = query.where(_sub.c.id < before_id)
    return list(sql.execute(query.order_by(_sub.c.id.desc()).limit(limit)))


def change(tx: Tx, app_id: str, subscription_id: int, values: dict[str, Any]) -> int:
    if values.get("pace_id") is not None:
        lanes.add_paces(tx, [values["pace_id"]])
    statement = update(_sub).where(_sub.c.id == subscription_id, _sub.c.app_id == app_id, _sub.c.status != "deleted")
    return tx.sql.execute(statement.values(**values, version=_sub.c.version + 1)).rowcount


def version(sql: Connection, subscription_id: int) -> int | None:
    """Of a deleted one, too: attempts may be under way to it."""
    found: int | None = sql.execute(select(_sub.c.version).where(_sub.c.id == subscription_id)).scalar()
    return found


def versions(sql: Connection, subscription_ids: Iterable[int]) -> dict[int, int]:
    """Likewise, of several."""
    wanted = among(sql.dialect.name == "postgresql", _sub.c.id, sorted(subscription_ids))
    return {row.id: row.version for row in sql.execute(select(_sub.c.id, _sub.c.version).where(wanted))}


def lock(tx: Tx, app_id: str, subscription_id: int) -> Row[Any] | None:
    """As it is until this transaction ends: what is read from it may be written back."""
    query = select(_sub).where(_sub.c.id == subscription_id, _sub.c.app_id == app_id, _sub.c.status != "deleted")
    return tx.sql.execute(query.with_for_update() if tx.postgres else query).first()


def publics(sql: Connection, app_id: str) -> list[str]:
    """JSON lists of the public keys of an app's subscriptions, the newest first. All of them: their number is bounded when
    they are made."""
    query = select(_sub.c.publics).where(_sub.c.app_id == app_id, text("subscription.publics IS NOT NULL"))
    query = query.where(_sub.c.status != "deleted").order_by(_sub.c.id.desc())
    return list(sql.execute(query).scalars())


def mark_failing(tx: Tx, subscription_ids: Iterable[int]) -> None:
    failing = and_(among(tx.postgres, _sub.c.id, sorted(set(subscription_ids))), _sub.c.failing_since.is_(None))
    tx.sql.execute(update(_sub).where(failing).values(failing_since=tx.now))


def mark_working(tx: Tx, subscription_ids: Iterable[int]) -> None:
    working = and_(among(tx.postgres, _sub.c.id, sorted(set(subscription_ids))), _sub.c.failing_since.is_not(None))
    tx.sql.execute(update(_sub).where(working).values(failing_since=None))


def disable(tx: Tx, subscription_id: int, reason: str) -> bool:
    """True for the one who did it: the operational event is told once."""
    statement = update(_sub).where(_sub.c.id == subscription_id, _sub.c.status.in_(("active", "paused")))
    values = {"status": "disabled", "reason": reason, "status_at": tx.now, "version": _sub.c.version + 1}
    return bool(tx.sql.execute(statement.values(**values)).rowcount)
