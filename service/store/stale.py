"""Tasks that nobody has told us about in time, by account: whoever moves the timestamp forward may ask.

Every account has its own range of one index, so that one with ten thousand stale tasks hides nobody else's.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, bindparam, select, text, tuple_, update

from service.domain.route import Key
from service.domain.task import Submission, Task
from service.store.database import Tx
from service.store.rows import among, submission_columns, task_columns, to_submission, to_task
from service.store.tables import TABLES

_task, _submission = TABLES["task"], TABLES["submission"]

OPEN = text("submission.outcome IN ('sending', 'unknown')")
"""In these very words: with bound values no planner sees that the partial index has them all."""
ACCOUNTS_LIMIT = 1_000
"""Accounts that still have open tasks; more are not configured by anybody."""


def accounts(sql: Connection) -> list[Key]:
    """Every account that has tasks to be asked about, then or now: one seek in the index for each."""
    found: list[Key] = []
    place = tuple_(_task.c.provider, _task.c.account)
    query = select(_task.c.provider, _task.c.account).where(_task.c.poll_at.is_not(None)).order_by(*place).limit(1)
    while len(found) < ACCOUNTS_LIMIT:
        row = sql.execute(query.where(place > tuple_(*found[-1])) if found else query).first()
        if row is None:
            break
        found.append((row.provider, row.account))
    return found


def _due(key: Key, now: int) -> Select[tuple[Task]]:
    return select(*task_columns()).where(
        _task.c.provider == key[0], _task.c.account == key[1], _task.c.poll_at.is_not(None), _task.c.poll_at <= now
    )


def any_due(sql: Connection, key: Key, now: int) -> bool:
    oldest_first = _due(key, now).with_only_columns(_task.c.poll_at).order_by(_task.c.poll_at)
    return sql.execute(oldest_first.limit(1)).first() is not None


def oldest(tx: Tx, key: Key, limit: int) -> list[tuple[Task, Submission]]:
    """The stale tasks of one account with the submissions that speak for them, oldest first; locked, not claimed yet."""
    query = _due(key, tx.now).order_by(_task.c.poll_at).limit(limit)
    tasks = [to_task(row) for row in tx.sql.execute(query.with_for_update(skip_locked=True) if tx.postgres else query)]
    if not tasks:
        return []
    named = select(*submission_columns()).where(among(tx.postgres, _submission.c.id, [t.submission_id for t in tasks]))
    subs = {sub.id: sub for sub in map(to_submission, tx.sql.execute(named))}
    return [(t, subs[t.submission_id]) for t in tasks if t.submission_id is not None]


def lease(tx: Tx, task_ids: Sequence[int], until: int) -> None:
    if task_ids:
        tx.sql.execute(update(_task).where(among(tx.postgres, _task.c.id, task_ids)).values(poll_at=until))


def rearm(tx: Tx, pairs: Sequence[tuple[int, int, int]]) -> None:
    """(task, poll_at as it was seen, new poll_at): only where nobody moved it since."""
    if pairs:
        statement = (
            update(_task)
            .where(_task.c.id == bindparam("_id"), _task.c.poll_at == bindparam("_was"))
            .values(poll_at=bindparam("_at"))
        )
        tx.sql.execute(statement, [{"_id": i, "_was": was, "_at": at} for i, was, at in pairs])


# --- the search for orders whose answer got lost ---


def open_submissions(sql: Connection, key: Key) -> list[tuple[Submission, str]]:
    """Of one account, everything that is being sent or whose outcome nobody knows, with the order as it is shown."""
    query = (
        select(*submission_columns(), _task.c.order)
        .join(_task, _task.c.id == _submission.c.task_id)
        .where(
            _submission.c.provider == key[0],
            _submission.c.account == key[1],
            OPEN,
        )
    )
    return [(to_submission(row[:-1]), row[-1]) for row in sql.execute(query)]


def claimed(sql: Connection, provider: str, remote_ids: Sequence[str]) -> set[str]:
    """Which of these are somebody's already."""
    postgres = sql.dialect.name == "postgresql"
    query = select(_submission.c.remote_id).where(
        _submission.c.provider == provider, among(postgres, _submission.c.remote_id, remote_ids)
    )
    return {row.remote_id for row in sql.execute(query)} if remote_ids else set()
