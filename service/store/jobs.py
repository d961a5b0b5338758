"""Jobs: long work on request, taken by `due_at`; a batch and its progress are one commit, so nothing is done twice."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from service.store.database import Tx
from service.store.rows import insert
from service.store.tables import TABLES

_job = TABLES["job"]


def add(tx: Tx, app_id: str, kind: str, subscription_id: int | None, place: int, last: int) -> int:
    job_id = tx.ids.new()
    row = {
        "id": job_id,
        "app_id": app_id,
        "kind": kind,
        "subscription_id": subscription_id,
        "place": place,
        "last": last,
        "seen": 0,
        "done": 0,
        "state": "running",
        "reason": None,
        "due_at": tx.now,
        "created_at": tx.now,
        "ended_at": None,
    }
    insert(tx, "job", [row])
    return job_id


def take(tx: Tx) -> Row[Any] | None:
    """One whose turn it is; locked until its batch is committed."""
    query = select(_job).where(_job.c.due_at.is_not(None), _job.c.due_at <= tx.now).order_by(_job.c.due_at).limit(1)
    return tx.sql.execute(query.with_for_update(skip_locked=True) if tx.postgres else query).first()


def advance(tx: Tx, job: Row[Any], seen: int, done: int, place: int | None) -> None:
    """After a batch. None: there was nothing left."""
    values: dict[str, Any] = {"seen": job.seen + seen, "done": job.done + done}
    # To the end of the line: several jobs take turns.
    values |= {"place": place, "due_at": tx.now} if place is not None else _ended(tx, "done")
    tx.sql.execute(update(_job).where(_job.c.id == job.id).values(**values))


def stop(tx: Tx, job_id: int, reason: str) -> None:
    tx.sql.execute(update(_job).where(_job.c.id == job_id).values(**_ended(tx, "stopped"), reason=reason))


def _ended(tx: Tx, state: str) -> dict[str, Any]:
    return {"state": state, "due_at": None, "ended_at": tx.now}


def by_id(sql: Connection, app_id: str, job_id: int) -> Row[Any] | None:
    return sql.execute(select(_job).where(_job.c.id == job_id, _job.c.app_id == app_id)).first()


def page(sql: Connection, app_id: str, before_id: int | None, limit: int) -> Sequence[Row[Any]]:
    query = select(_job).where(_job.c.app_id == app_id)
    if before_id is not None:
        query = query.where(_job.c.id < before_id)
    return sql.execute(query.order_by(_job.c.id.desc()).limit(limit)).all()


def latest_of(sql: Connection, subscription_id: int) -> Row[Any] | None:
    query = select(_job).where(_job.c.subscription_id == subscription_id).order_by(_job.c.id.desc()).limit(1)
    return sql.execute(query).first()


def running(sql: Connection, app_id: str, kind: str) -> Row[Any] | None:
    query = select(_job).where(_job.c.app_id == app_id, _job.c.kind == kind, _job.c.due_at.is_not(None)).limit(1)
    return sql.execute(query).first()
