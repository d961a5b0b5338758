"""Tasks and submissions: taken under lock, saved in sets, claimed by their one timestamp."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, bindparam, func, or_, select, union_all, update
from sqlalchemy.dialects.postgresql import ARRAY

from service.domain.task import Submission, Task
from service.store import compiled
from service.store.bulk import Insert, Update
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import (
    SUBMISSION_FIELDS,
    TASK_FIELDS,
    insert,
    submission_columns,
    task_columns,
    to_submission,
    to_task,
)
from service.store.tables import TABLES

_task, _submission, _order, _label, _key = (
    TABLES[n] for n in ("task", "submission", "task_order", "task_label", "idempotency")
)
_FIXED = {"id", "app_id", "model", "order", "metadata", "estimated_tokens", "created_at", "deadline_at", "rank"}
"""Of a task: written once, with its order."""
_INDEXED = (
    ("state",),
    ("poll_at",),
    ("ended_at",),
    ("provider", "account", "submission_id", "remote_id", "place_at", "tries", "route"),
)
"""What is saved only where it changed: a statement that names a column of an index rewrites that index, changed or not."""
_SELDOM = (
    ("reason", "error", "flags"),
    ("result", "tokens"),
    ("started_at",),
    ("asks", "polls", "missing", "missing_at", "receipts"),
)
"""Likewise on SQLite, where every column of a row costs. PostgreSQL is better served by few statements."""
_GROUPS = {True: _INDEXED, False: _INDEXED + _SELDOM}
_CHANGED = {postgres: tuple(attrgetter(*group) for group in groups) for postgres, groups in _GROUPS.items()}
_ADD_TASKS, _ADD_SUBMISSIONS = Insert("task", TASK_FIELDS), Insert("submission", SUBMISSION_FIELDS)
_ADD_ORDERS = Insert("task_order")
_SAVE_SUBMISSION = Update("submission", ("outcome", "remote_id", "reason", "answered_at", "conflict_at", "aliases"))
_OWNERS = Statement(lambda pg: select(_submission.c.task_id).where(compiled.among(pg, _submission.c.id, "ids")))
_TASKS = Statement(
    lambda pg: _for_update(pg, select(*task_columns()).where(compiled.among(pg, _task.c.id, "ids")).order_by(_task.c.id))
)
_TASK_WIDTH = len(TASK_FIELDS)
_TOGETHER = Statement(
    lambda pg: _for_update(
        pg,
        select(*task_columns(), *submission_columns())
        .join_from(_task, _submission, _submission.c.task_id == _task.c.id)
        .where(compiled.among(pg, _submission.c.id, "ids"))
        .order_by(_task.c.id, _submission.c.id),
    )
)
_SUBMISSIONS = Statement(lambda pg: select(*submission_columns()).where(compiled.among(pg, _submission.c.id, "ids")))
_NAMED = Statement(
    lambda pg: select(
        *(_submission.c[name] for name in ("provider", "base_url", "remote_id", "id", "task_id")),
    ).where(compiled.among(pg, _submission.c.remote_id, "names"))
)


def _for_update(postgres: bool, query: Any) -> Any:
    return query.with_for_update() if postgres else query


def lock(tx: Tx, task_ids: Iterable[int], submission_ids: Collection[int]) -> tuple[dict[int, Task], dict[int, Submission]]:
    """The tasks named, and those of the submissions named, locked in order of id; then the submissions as they are now."""
    wanted = set(task_ids)
    if not wanted:
        return _both(tx, submission_ids)
    named = compiled.names(tx.postgres, submission_ids)
    if submission_ids:
        wanted.update(row[0] for row in _OWNERS.plain(tx.sql, ids=named))
    locked = {task.id: task for task in map(to_task, _TASKS.plain(tx.sql, ids=compiled.names(tx.postgres, sorted(wanted))))}
    if not submission_ids:
        return locked, {}
    return locked, {sub.id: sub for sub in map(to_submission, _SUBMISSIONS.plain(tx.sql, ids=named))}


def _both(tx: Tx, submission_ids: Collection[int]) -> tuple[dict[int, Task], dict[int, Submission]]:
    """In one look: PostgreSQL locks the rows of both, the first named first, and gives each as it is once it is locked."""
    tasks: dict[int, Task] = {}
    subs: dict[int, Submission] = {}
    for row in _TOGETHER.plain(tx.sql, ids=compiled.names(tx.postgres, submission_ids)):
        sub = to_submission(row[_TASK_WIDTH:])
        subs[sub.id] = sub
        if sub.task_id not in tasks:
            tasks[sub.task_id] = to_task(row[:_TASK_WIDTH])
    return tasks, subs


def save(tx: Tx, tasks: Iterable[tuple[Task, Task]], submissions: Sequence[Submission]) -> None:
    """Tasks as they were and as they are."""
    alike: dict[tuple[bool, ...], list[Task]] = {}
    for before, after in tasks:
        alike.setdefault(tuple([get(before) != get(after) for get in _CHANGED[tx.postgres]]), []).append(after)
    for which, some in sorted(alike.items()):
        _saves(tx.postgres, which).objects(tx, some)
    _SAVE_SUBMISSION.objects(tx, submissions)


@cache
def _saves(postgres: bool, which: tuple[bool, ...]) -> Update:
    """Everything but what is fixed, and what is the same in all of them."""
    left_out = {name for group, named in zip(_GROUPS[postgres], which, strict=True) if not named for name in group}
    return Update("task", [name for name in TASK_FIELDS if name not in _FIXED | left_out])


def add(tx: Tx, tasks: Sequence[Task], orders: Sequence[dict[str, Any]], labels: Sequence[dict[str, Any]]) -> None:
    _ADD_TASKS.rows(tx, tasks)
    _ADD_ORDERS.rows(tx, [tuple(order[c.name] for c in _order.c) for order in orders])
    insert(tx, "task_label", labels)


def add_submissions(tx: Tx, submissions: Sequence[Submission]) -> None:
    _ADD_SUBMISSIONS.rows(tx, submissions)


def named(tx: Tx, remote_ids: Collection[str]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(submission, task) that have these names, by provider, its address and the name."""
    rows = _NAMED.plain(tx.sql, names=compiled.names(tx.postgres, remote_ids))
    return {(provider, base_url, name): (sub_id, task_id) for provider, base_url, name, sub_id, task_id in rows}


# --- one cancel at a time ---


def hold_cancel(tx: Tx, submission_id: int, until: int) -> bool:
    """False: somebody else is at it."""
    free = or_(_submission.c.cancel_until.is_(None), _submission.c.cancel_until <= tx.now)
    held = update(_submission).where(_submission.c.id == submission_id, free).values(cancel_until=until)
    return bool(tx.sql.execute(held).rowcount)


def end_cancel(tx: Tx, submission_id: int) -> None:
    tx.sql.execute(update(_submission).where(_submission.c.id == submission_id).values(cancel_until=None))


# --- idempotency ---


def keys_used(tx: Tx, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[bytes, int]]:
    """Body digest and task of each (app, key) that was used before."""
    pairs = list(pairs)
    if not pairs:
        return {}
    keys, apps = sorted({key for _, key in pairs}), sorted({app for app, _ in pairs})
    found = _KEYS.plain(tx.sql, keys=compiled.names(tx.postgres, keys), apps=compiled.names(tx.postgres, apps))
    return {(app_id, key): (bytes(digest), task_id) for app_id, key, digest, task_id in found}


def add_keys(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    insert(tx, "idempotency", rows)


def recent_digests(tx: Tx, digests: Iterable[bytes], since: int) -> set[tuple[str, bytes]]:
    """(app, digest) of equal orders placed since then."""
    wanted = sorted(digests)
    # SQLite has no arrays of bytes: one seek for each.
    parts: list[Any] = [wanted] if tx.postgres else wanted
    return {(app_id, bytes(digest)) for part in parts for app_id, digest in _EQUAL.plain(tx.sql, digests=part, since=since)}


def _equal(pg: bool) -> Any:
    digests = bindparam("digests", type_=ARRAY(LargeBinary())) if pg else bindparam("digests", type_=LargeBinary())
    query = select(_order.c.app_id, _order.c.digest).where(_order.c.digest == (func.any(digests) if pg else digests))
    return query.where(_order.c.created_at >= bindparam("since"))


_EQUAL = Statement(_equal)


# --- reads ---

_ONE = Statement(
    lambda _: select(*task_columns()).where(_task.c.id == bindparam("task_id"), _task.c.app_id == bindparam("app_id"))
)
_SOME = Statement(lambda pg: select(*task_columns()).where(compiled.among(pg, _task.c.id, "ids")))
_BODIES = Statement(lambda pg: select(_order.c.task_id, _order.c.body).where(compiled.among(pg, _order.c.task_id, "ids")))
_KEYS = Statement(
    lambda pg: select(_key.c.app_id, _key.c.key, _key.c.digest, _key.c.task_id).where(
        compiled.among(pg, _key.c.key, "keys"), compiled.among(pg, _key.c.app_id, "apps")
    )
)


def by_id(sql: Connection, app_id: str, task_id: int) -> Task | None:
    found = _ONE.plain(sql, task_id=task_id, app_id=app_id)
    return to_task(found[0]) if found else None


def by_ids(sql: Connection, task_ids: Sequence[int]) -> dict[int, Task]:
    if not task_ids:
        return {}
    rows = _SOME.plain(sql, ids=compiled.names(sql.dialect.name == "postgresql", task_ids))
    return {task.id: task for task in map(to_task, rows)}


def submissions(sql: Connection, app_id: str, task_id: int) -> list[Submission]:
    found = select(*submission_columns()).where(_submission.c.task_id == task_id, _submission.c.app_id == app_id)
    return [to_submission(row) for row in sql.execute(found.order_by(_submission.c.number))]


def order_bodies(sql: Connection, task_ids: Sequence[int]) -> dict[int, bytes]:
    rows = _BODIES.plain(sql, ids=compiled.names(sql.dialect.name == "postgresql", task_ids))
    return {task_id: bytes(body) for task_id, body in rows}


def page(
    sql: Connection,
    app_id: str,
    *,
    before_id: int | None,
    limit: int,
    states: Sequence[str] = (),
    model: str | None = None,
    provider: str | None = None,
    from_id: int | None = None,
    labels: Sequence[tuple[str, str]] = (),
) -> list[Task]:
    """Newest first, below `before_id`."""
    wanted = [_task.c.app_id == app_id]
    if before_id is not None:
        wanted.append(_task.c.id < before_id)
    if from_id is not None:
        wanted.append(_task.c.id >= from_id)
    if model is not None:
        wanted.append(_task.c.model == model)
    if provider is not None:
        wanted.append(_task.c.provider == provider)
    for name, value in labels:
        labelled = select(_label.c.task_id).where(_label.c.app_id == app_id, _label.c.name == name, _label.c.value == value)
        wanted.append(_task.c.id.in_(labelled))
    if len(states) > 1:
        # The newest of each state, one range of the index for each: with all states in one condition a planner walks
        # everything that has ever ended to find the few that have not.
        newest = [
            select(_task.c.id).where(*wanted, _task.c.state == state).order_by(_task.c.id.desc()).limit(limit).subquery()
            for state in dict.fromkeys(states)
        ]
        wanted = [_task.c.id.in_(union_all(*(select(each.c.id) for each in newest)))]
    elif states:
        wanted.append(_task.c.state == states[0])
    query = select(*task_columns()).where(*wanted).order_by(_task.c.id.desc()).limit(limit)
    return [to_task(row) for row in sql.execute(query)]


def counts_by_state(sql: Connection) -> list[Row[Any]]:
    return list(sql.execute(select(_task.c.state, func.count()).group_by(_task.c.state)))
