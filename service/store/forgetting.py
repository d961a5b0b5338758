"""Erase the personal content of tasks and keep their skeletons: numbers, states and times stay true."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from service.domain import forgetting
from service.domain.forgetting import FORGOTTEN
from service.domain.lifecycle import SETTLED
from service.store.database import Tx
from service.store.rows import among
from service.store.tables import TABLES

_task, _order, _label, _submission, _receipt, _event, _delivery, _attempt, _sub, _lane = (
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
    )
)


def open_tasks(tx: Tx, app_id: str) -> bool:
    """Some task of this app has not ended."""
    living = [s for s in ("created", "queued", "running") if s not in SETTLED]
    return (
        tx.sql.execute(select(_task.c.id).where(_task.c.app_id == app_id, _task.c.state.in_(living)).limit(1)).first()
        is not None
    )


def next_tasks(tx: Tx, app_id: str, after_id: int, last_id: int, most: int) -> list[int]:
    query = select(_task.c.id).where(_task.c.app_id == app_id, _task.c.id > after_id, _task.c.id <= last_id)
    return list(tx.sql.execute(query.order_by(_task.c.id).limit(most)).scalars())


def forget(tx: Tx, task_ids: Sequence[int]) -> list[tuple[int, int]]:
    """All of them have ended. What was still to be told of them, with the fences it has now: nobody settles an older lease,
    whose notice said more."""
    tasks = select(_task.c.id, _task.c.order, _task.c.error).where(among(tx.postgres, _task.c.id, task_ids))
    bones = [
        {"_id": row.id, "_order": forgetting.order(row.order), "_error": forgetting.error(row.error)}
        for row in tx.sql.execute(tasks)
    ]
    if not bones:
        return []
    erased: dict[str, Any] = {
        "order": bindparam("_order"),
        "error": bindparam("_error"),
        "metadata": "{}",
        "reason": FORGOTTEN,
        "result": None,
        "updated_at": tx.now,
        "poll_at": None,  # a lost task may be asked about once more; nothing that is said of this one counts now
    }
    tx.sql.execute(update(_task).where(_task.c.id == bindparam("_id")).values(erased), bones)
    for table in (_order, _label):
        tx.sql.execute(delete(table).where(among(tx.postgres, table.c.task_id, task_ids)))
    tx.sql.execute(update(_submission).where(among(tx.postgres, _submission.c.task_id, task_ids)).values(reason=None))
    tx.sql.execute(update(_receipt).where(among(tx.postgres, _receipt.c.task_id, task_ids)).values(body=None))
    withdrawn = _forget_notices(tx, task_ids)
    _forget_addresses(tx, task_ids)
    return withdrawn


def _forget_notices(tx: Tx, task_ids: Sequence[int]) -> list[tuple[int, int]]:
    of_tasks = among(tx.postgres, _event.c.task_id, task_ids)
    rows = tx.sql.execute(select(_event.c.id, _event.c.body).where(of_tasks)).all()
    bones = [{"_id": row.id, "_body": forgetting.notice(bytes(row.body))} for row in rows]
    if bones:
        tx.sql.execute(update(_event).where(_event.c.id == bindparam("_id")).values(body=bindparam("_body")), bones)
    # After the events: whoever leased one of them meanwhile read the old notice, and is fenced off as well.
    told = select(_delivery.c.id, _delivery.c.fence, _delivery.c.state).where(
        _delivery.c.event_id.in_(select(_event.c.id).where(of_tasks))
    )
    query = told.order_by(_delivery.c.id)  # the order in which settlements lock them
    found = tx.sql.execute(query.with_for_update() if tx.postgres else query).all()
    fences = [(row.id, row.fence + 1) for row in found if row.state in ("pending", "skipped")]
    fenced = update(_delivery).where(among(tx.postgres, _delivery.c.id, [delivery_id for delivery_id, _ in fences]))
    tx.sql.execute(fenced.values(fence=_delivery.c.fence + 1))
    # All of them are locked: whoever settled one before has committed, and whoever settles one now sees that it is forgotten.
    answers = update(_attempt).where(among(tx.postgres, _attempt.c.delivery_id, [row.id for row in found]))
    tx.sql.execute(answers.values(answer=None, error=None))
    return fences


def _forget_addresses(tx: Tx, task_ids: Sequence[int]) -> None:
    """The orders' own callback URLs, with what was still to be told to them."""
    implicit = list(tx.sql.execute(select(_sub.c.id).where(among(tx.postgres, _sub.c.task_id, task_ids))).scalars())
    waiting = update(_delivery).where(among(tx.postgres, _delivery.c.subscription_id, implicit), _delivery.c.state == "pending")
    tx.sql.execute(waiting.values(state="skipped", due_at=None, ended_at=tx.now))
    for table in (_sub, _lane):
        tx.sql.execute(delete(table).where(among(tx.postgres, table.c.id, implicit)))
