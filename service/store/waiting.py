"""Orders that wait to be placed, and how much room their accounts have; all of it counted from the rows themselves, so that
no restart forgets it and no crash makes it wrong."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from service.domain.admission import Caps, Waiting, room
from service.domain.breaker import Breaker
from service.domain.ids import first_id_at
from service.domain.route import Key, as_keys
from service.domain.sharing import Shares
from service.domain.task import Task
from service.store import accounts, compiled
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import named_from, task_columns, to_task
from service.store.stale import OPEN
from service.store.tables import TABLES

_task, _submission, _app, _share = TABLES["task"], TABLES["submission"], TABLES["app"], TABLES["share"]

LANES_LIMIT = 2_000
"""Pairs of an app and a route that wait at once."""
MINUTE_MS = 60_000
PLACING = 4_201_907
"""Name of the lock under which room is counted and given away, so that a cap holds for all processes together."""


@dataclass(frozen=True, slots=True)
class Lane:
    app_id: str
    route: str

    @property
    def keys(self) -> list[Key]:
        return as_keys(self.route)


def take_turn(tx: Tx) -> None:
    """One transaction at a time gives room away. SQLite writes one at a time anyway."""
    if tx.postgres:
        tx.sql.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": PLACING})


def anybody_due(tx: Tx) -> bool:
    first = _FIRST_AT.plain(tx.sql)
    return bool(first) and first[0][0] <= tx.now


_WAITS = _task.c.place_at.is_not(None)
# In order, so that a planner without statistics does not read the table to find nothing.
_FIRST_AT = Statement(lambda _: select(_task.c.place_at).where(_WAITS).order_by(_task.c.place_at).limit(1))
_PLACE = (_task.c.provider, _task.c.account)
_IN_FLIGHT = Statement(
    lambda _: (
        select(*_PLACE, func.count()).where(_task.c.submission_id.is_not(None), _task.c.ended_at.is_(None)).group_by(*_PLACE)
    )
)
_LANE = tuple_(_task.c.app_id, _task.c.route)
_LANES = Statement(lambda _: select(_task.c.app_id, _task.c.route).where(_WAITS).order_by(*_LANE).limit(1))
_LANES_AFTER = Statement(
    lambda _: (
        select(_task.c.app_id, _task.c.route)
        .where(_WAITS, tuple_(bindparam("app_id"), bindparam("route")) < _LANE)
        .order_by(*_LANE)
        .limit(1)
    )
)
_RAN_OUT = Statement(
    lambda _: (
        select(_task.c.id)
        .where(_WAITS, _task.c.deadline_at <= bindparam("now"))
        .order_by(_task.c.deadline_at)
        .limit(bindparam("most", type_=Integer))
    )
)


def rooms(sql: Connection, now: int, caps: Mapping[Key, Caps]) -> tuple[dict[Key, int], dict[Key, Breaker]]:
    """Free places of each account, and the breakers."""
    breakers = accounts.breakers(sql)
    counted = any(cap.in_flight is not None for cap in caps.values())
    flying = in_flight(sql) if counted else {}  # it takes the longer, the more there are
    free: dict[Key, int] = {}
    for key, cap in caps.items():
        sent = 0 if cap.per_minute is None else sent_since(sql, key, now - MINUTE_MS)
        free[key] = room(cap, flying.get(key, 0), sent, breakers.get(key, Breaker()).room(now))
    return free, breakers


def in_flight(sql: Connection) -> dict[Key, int]:
    """By account, the tasks that hold a place there."""
    return {(row[0], row[1]): int(row[2]) for row in _IN_FLIGHT.plain(sql)}


def unknown_counts(sql: Connection) -> dict[Key, int]:
    """Submissions that nobody has explained yet."""
    place = (_submission.c.provider, _submission.c.account)
    query = select(*place, func.count().filter(_submission.c.outcome == "unknown"))
    query = query.where(OPEN).group_by(*place)
    return {(row[0], row[1]): int(row[2]) for row in sql.execute(query)}


def sent_since(sql: Connection, key: Key, since: int) -> int:
    """Names grow with time: a minute is a range of them."""
    [row] = _SENT.plain(sql, first_id=first_id_at(since), since=since, provider=key[0], account=key[1])
    return int(row[0])


# The sums keep planners from walking all of a provider's history by another index instead.
_SENT = Statement(
    lambda _: (
        select(func.count())
        .select_from(_submission)
        .where(
            named_from(_submission.c.id, bindparam("first_id")),
            _submission.c.sent_at > bindparam("since"),
            _submission.c.provider + "" == bindparam("provider"),
            _submission.c.account + "" == bindparam("account"),
        )
    )
)


def lanes(sql: Connection) -> list[Lane]:
    """One seek in the index for each."""
    found: list[Lane] = []
    while len(found) < LANES_LIMIT:
        after = found[-1] if found else None
        rows = _LANES.plain(sql) if after is None else _LANES_AFTER.plain(sql, app_id=after.app_id, route=after.route)
        if not rows:
            break
        found.append(Lane(*rows[0]))
    return found


def first(tx: Tx, lane: Lane, limit: int) -> list[Task]:
    """Of one lane, those that may go now, in order; locked."""
    return [to_task(row) for row in _HEAD.plain(tx.sql, app_id=lane.app_id, route=lane.route, now=tx.now, most=limit)]


def _head(pg: bool) -> Any:
    query = (
        select(*task_columns())
        .where(_WAITS, _task.c.app_id == bindparam("app_id"), _task.c.route == bindparam("route"))
        .where(_task.c.place_at <= bindparam("now"), _task.c.deadline_at > bindparam("now"))
        .order_by(_task.c.rank, _task.c.id)
        .limit(bindparam("most", type_=Integer))
    )
    return query.with_for_update(skip_locked=True) if pg else query


_HEAD = Statement(_head)


def ran_out(sql: Connection, now: int, limit: int) -> list[int]:
    """Orders that nobody took before their own deadline."""
    return [row[0] for row in _RAN_OUT.plain(sql, now=now, most=limit)]


def weights(tx: Tx, app_ids: Sequence[str]) -> dict[str, int]:
    return dict(_WEIGHTS.plain(tx.sql, ids=compiled.names(tx.postgres, app_ids))) if app_ids else {}


_WEIGHTS = Statement(lambda pg: select(_app.c.id, _app.c.weight).where(compiled.among(pg, _app.c.id, "ids")))
_ACCOUNT = (_share.c.provider, _share.c.account)
_CLOCKS = Statement(lambda _: select(*_ACCOUNT, func.max(_share.c.clock)).group_by(*_ACCOUNT))
_HAD = Statement(
    lambda pg: select(*_ACCOUNT, _share.c.app_id, _share.c.ended).where(compiled.among(pg, _share.c.app_id, "ids"))
)


def shares(tx: Tx, app_ids: Sequence[str]) -> dict[Key, Shares]:
    """By account: its clock, and what these apps have had of it. Read under `take_turn`."""
    found = {(provider, account): Shares(int(clock)) for provider, account, clock in _CLOCKS.plain(tx.sql)}
    had = _HAD.plain(tx.sql, ids=compiled.names(tx.postgres, app_ids)) if found else ()
    for provider, account, app_id, ended in had:
        found[provider, account].ended[app_id] = ended
    return found


def save_shares(tx: Tx, shares: Mapping[Key, Shares], served: set[tuple[Key, str]]) -> None:
    rows = [
        {"provider": p, "account": a, "app_id": app, "ended": shares[p, a].ended[app], "clock": shares[p, a].clock}
        for (p, a), app in sorted(served)
    ]
    _SAVE_SHARES.many(tx.sql, rows)


def _save_shares(pg: bool) -> Any:
    new = (postgres_insert if pg else sqlite_insert)(_share)
    binds: dict[str, Any] = {name: bindparam(name) for name in _share.c.keys()}  # noqa: SIM118 (a table's columns, not a dict)
    kept = {name: new.excluded[name] for name in ("ended", "clock")}
    return new.values(binds).on_conflict_do_update(index_elements=list(_share.primary_key), set_=kept)


_SAVE_SHARES = Statement(_save_shares)


def as_waiting(task: Task, lane: Lane) -> Waiting:
    return Waiting(task.id, task.app_id, lane.keys, task.rank, task.tries)


# --- for people ---


def ahead(sql: Connection, task: Task) -> tuple[int, int, list[tuple[int, int]]]:
    """How many of the same app go first, the app's weight, and (waiting, weight) of each other app that wants an account of
    this order's route too. Counted up to a limit."""
    keys = set(as_keys(task.route))
    waits = _task.c.place_at.is_not(None)
    mine, others = 0, defaultdict[str, int](int)
    for lane in lanes(sql):
        if not keys & set(lane.keys):
            continue
        query = select(_task.c.id).where(waits, _task.c.app_id == lane.app_id, _task.c.route == lane.route)
        if lane.app_id == task.app_id:
            query = query.where(tuple_(_task.c.rank, _task.c.id) < tuple_(task.rank, task.id))
        count = int(sql.execute(select(func.count()).select_from(query.limit(COUNTED).subquery())).scalar_one())
        if lane.app_id == task.app_id:
            mine += count
        else:
            others[lane.app_id] += count
    known = {
        row.id: row.weight for row in sql.execute(select(_app.c.id, _app.c.weight).where(_app.c.id.in_([task.app_id, *others])))
    }
    return mine, known.get(task.app_id, 1), [(count, known.get(app, 1)) for app, count in others.items() if count]


def unexplained(sql: Connection, keys: Sequence[Key]) -> list[tuple[Key, str, int]]:
    """(account, app, task) of the orders that hold places there though nobody knows whether they were placed."""
    query = select(_submission.c.provider, _submission.c.account, _task.c.app_id, _task.c.id)
    query = query.join(_task, _task.c.submission_id == _submission.c.id)
    query = query.where(OPEN, _submission.c.outcome == "unknown", _task.c.ended_at.is_(None)).order_by(_task.c.id)
    return [((row[0], row[1]), row[2], row[3]) for row in sql.execute(query) if (row[0], row[1]) in keys]


COUNTED = 10_000
"""Beyond this a place in the queue is only `far back`."""
