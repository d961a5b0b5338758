"""Tasks that nobody has told us about in time, by account: whoever moves the timestamp forward may ask.

Every account has its own range of one index, so that one with ten thousand stale tasks hides nobody else's.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, select, text, tuple_, update

from service.domain.ids import first_id_at
from service.domain.placement import DENIED
from service.domain.route import Key
from service.domain.task import Outcome, Submission, Task
from service.store import compiled
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import named_from, submission_columns, task_columns, to_submission, to_task
from service.store.tables import TABLES, Big

_task, _submission = TABLES["task"], TABLES["submission"]

OPEN = text("submission.outcome IN ('sending', 'unknown')")
"""In these very words: with bound values no planner sees that the partial index has them all."""
ACCOUNTS_LIMIT = 1_000
"""Accounts that still have open tasks; more are not configured by anybody."""


_PLACE = tuple_(_task.c.provider, _task.c.account)
_STALE = (
    select(_task.c.provider, _task.c.account)
    .where(_task.c.poll_at.is_not(None))
    .order_by(_task.c.provider, _task.c.account)
    .limit(1)
)
_FIRST = Statement(lambda _: _STALE)
_NEXT = Statement(lambda _: _STALE.where(_PLACE.op(">")(tuple_(bindparam("provider"), bindparam("account")))))


def accounts(sql: Connection) -> list[Key]:
    """Every account that has tasks to be asked about, then or now: one seek in the index for each."""
    found: list[Key] = []
    while len(found) < ACCOUNTS_LIMIT:
        rows = _NEXT.plain(sql, provider=found[-1][0], account=found[-1][1]) if found else _FIRST.plain(sql)
        if not rows:
            break
        found.append((rows[0][0], rows[0][1]))
    return found


def _due(*columns: Any) -> Any:
    mine = (_task.c.provider == bindparam("provider"), _task.c.account == bindparam("account"))
    due = (_task.c.poll_at.is_not(None), _task.c.poll_at <= bindparam("now"))
    return select(*columns).where(*mine, *due).order_by(_task.c.poll_at)


_ANY = Statement(lambda _: _due(_task.c.poll_at).limit(1))
_OLDEST = Statement(lambda pg: _unclaimed(pg, _due(*task_columns()).limit(bindparam("most", type_=Integer()))))
_SPEAKING = Statement(lambda pg: select(*submission_columns()).where(compiled.among(pg, _submission.c.id, "ids")))


def _unclaimed(pg: bool, query: Any) -> Any:
    return query.with_for_update(skip_locked=True) if pg else query


def any_due(sql: Connection, key: Key, now: int) -> bool:
    return bool(_ANY.plain(sql, provider=key[0], account=key[1], now=now))


def oldest(tx: Tx, key: Key, limit: int) -> list[tuple[Task, Submission]]:
    """The stale tasks of one account with the submissions that speak for them, oldest first; locked, not claimed yet."""
    tasks = [to_task(row) for row in _OLDEST.plain(tx.sql, provider=key[0], account=key[1], now=tx.now, most=limit)]
    if not tasks:
        return []
    rows = _SPEAKING.plain(
        tx.sql, ids=compiled.names(tx.postgres, [t.submission_id for t in tasks if t.submission_id is not None])
    )
    subs = {sub.id: sub for sub in map(to_submission, rows)}
    return [(t, subs[t.submission_id]) for t in tasks if t.submission_id is not None]


_LEASE = Statement(
    lambda pg: update(_task).where(compiled.among(pg, _task.c.id, "ids")).values(poll_at=bindparam("until", type_=Big))
)


def lease(tx: Tx, task_ids: Sequence[int], until: int) -> None:
    if task_ids:
        _LEASE.one(tx.sql, ids=compiled.names(tx.postgres, task_ids), until=until)


def rearm(tx: Tx, pairs: Sequence[tuple[int, int, int]]) -> None:
    """(task, poll_at as it was seen, new poll_at): only where nobody moved it since."""
    _REARM.many(tx.sql, [{"_id": i, "_was": was, "_at": at} for i, was, at in pairs])


_REARM = Statement(
    lambda _: (
        update(_task)
        .where(_task.c.id == bindparam("_id"), _task.c.poll_at == bindparam("_was"))
        .values(poll_at=bindparam("_at", type_=Big))
    )
)


# --- the search for orders whose answer got lost ---


def open_submissions(sql: Connection, provider: str, base_url: str) -> list[tuple[Submission, str]]:
    """Of one address, under whichever key, everything that is being sent or whose outcome nobody knows, with the order as it
    is shown."""
    return _shown(_OPEN_ONES.plain(sql, provider=provider, base_url=base_url))


def denied(sql: Connection, provider: str, base_url: str, since: int) -> list[tuple[Submission, str]]:
    """Of one address and since then, what never happened as an operator says. Names grow with time, as in `waiting`."""
    return _shown(_DENIED.plain(sql, first_id=first_id_at(since), provider=provider, base_url=base_url))


_BESIDE = select(*submission_columns(), _task.c.order).join(_task, _task.c.id == _submission.c.task_id)
_OPEN_ONES = Statement(
    lambda _: _BESIDE.where(
        _submission.c.provider == bindparam("provider"), _submission.c.base_url == bindparam("base_url"), OPEN
    )
)
_DENIED = Statement(
    lambda _: _BESIDE.where(
        named_from(_submission.c.id, bindparam("first_id")),
        _submission.c.provider + "" == bindparam("provider"),
        _submission.c.base_url + "" == bindparam("base_url"),
        _submission.c.outcome == bindparam("_outcome", str(Outcome.NOT_SENT)),
        _submission.c.reason == bindparam("_reason", DENIED),
    )
)


def _shown(rows: Sequence[Sequence[Any]]) -> list[tuple[Submission, str]]:
    return [(to_submission(row[:-1]), row[-1]) for row in rows]


def claimed(sql: Connection, provider: str, remote_ids: Sequence[str]) -> set[str]:
    """Which of these are somebody's already, or may be as a callback says."""
    if not remote_ids:
        return set()
    named = compiled.names(sql.dialect.name == "postgresql", remote_ids)
    aliases = {name for row in _CONTESTED.plain(sql, provider=provider) for name in row[0].split()}
    return {row[0] for row in _CLAIMED.plain(sql, provider=provider, remote_ids=named)} | aliases.intersection(remote_ids)


_CONTESTED = Statement(
    lambda _: select(_submission.c.aliases).where(
        _submission.c.provider == bindparam("provider"), text("submission.aliases <> ''")
    )
)
_CLAIMED = Statement(
    lambda pg: select(_submission.c.remote_id).where(
        _submission.c.provider == bindparam("provider"), compiled.among(pg, _submission.c.remote_id, "remote_ids")
    )
)
