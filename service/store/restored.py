"""After a database was put back from a backup: what has to be made true before anybody works on it.

Absent on purpose: making and unpacking backups; those are files, or PostgreSQL's own tools.
"""

from sqlalchemy import select, text, update

from service.domain.placement import HELD
from service.store.database import Tx
from service.store.rows import CURRENT_XACT, insert_new
from service.store.stale import OPEN
from service.store.tables import TABLES

_task, _submission, _event, _era = (TABLES[name] for name in ("task", "submission", "event", "era"))
MOVING = 4_242_002
"""PostgreSQL advisory lock: processes that start at once look one after the other."""


def hold_waiting(tx: Tx) -> int:
    """Orders that waited when the backup was made may have been placed and paid since then. None of them is placed by
    itself: each is held until its deadline, so that an operator can look and cancel. And what was on its way then is not guessed
    from a provider's list, whose jobs may be of orders that this database has never seen."""
    tx.sql.execute(update(_submission).where(OPEN).values(timed=False))
    held = update(_task).where(_task.c.place_at.is_not(None), _task.c.place_at < _task.c.deadline_at)
    return tx.sql.execute(held.values(place_at=_task.c.deadline_at, reason=HELD, updated_at=tx.now)).rowcount


def go_on(tx: Tx) -> None:
    """A dump that was loaded on another server of PostgreSQL meets younger numbers of transactions there: without this, new
    events would hide behind the old ones for as many transactions as the old server had seen."""
    if not tx.postgres:
        return
    tx.sql.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": MOVING})
    last = tx.sql.execute(select(_event.c.xact).order_by(_event.c.xact.desc(), _event.c.id.desc()).limit(1)).scalar()
    behind = (
        0 if last is None else last + 1 - tx.sql.exec_driver_sql(f"SELECT {CURRENT_XACT}").scalar_one()
    )  # drawn after the look, so that it is above what others wrote
    if behind > 0:
        insert_new(tx, _era, [{"id": 0, "base": 0}])
        tx.sql.execute(update(_era).values(base=_era.c.base + behind))
