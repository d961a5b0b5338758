"""Lanes and paces: turns claimed by `due_at`, one row for a subscription however much waits in it.

A lane is locked only by whoever takes its turn, and is passed over by everybody else meanwhile. All others write to it
last in their transaction and in order of id, so that nobody waits crosswise.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, and_, bindparam, case, func, or_, select, text, update

from service.domain.turn import BREAKER_FAILURES
from service.store import compiled
from service.store.bulk import Update
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import insert, insert_new
from service.store.tables import TABLES

_lane, _pace, _sub, _delivery = (TABLES[n] for n in ("lane", "pace", "subscription", "delivery"))
FRESH = text("delivery.due_at IS NOT NULL AND delivery.attempts = 0 AND NOT delivery.recovered")
AGAIN = text("delivery.due_at IS NOT NULL AND (delivery.attempts > 0 OR delivery.recovered)")
"""As in the partial indexes, letter by letter: a bound value would not be recognised."""


def add(tx: Tx, subscription_ids: Iterable[int]) -> None:
    empty = {
        "due_at": None,
        "idle_ms": 0,
        "failures": 0,
        "held_until": 0,
        "failed_at": 0,
        "spent_until": 0,
        "abandoned": 0,
        "abandoned_at": 0,
    }
    insert(tx, "lane", [{"id": i, **empty} for i in subscription_ids])


# --- taking turns ---

_TURN = (_lane.c.id, _lane.c.due_at, _lane.c.idle_ms, _lane.c.failures, _lane.c.held_until, _lane.c.spent_until)
_OF = (_sub.c.status, _sub.c.channel, _sub.c.rate, _sub.c.version, _sub.c.pace_id)


def _due(pg: bool) -> Any:
    query = (
        select(*_TURN, *_OF)
        .select_from(_lane.outerjoin(_sub, _sub.c.id == _lane.c.id))
        .where(_lane.c.due_at.is_not(None), _lane.c.due_at <= bindparam("now"), ~compiled.among(pg, _lane.c.id, "full"))
        .order_by(_lane.c.due_at)
        .limit(bindparam("most", type_=Integer()))
    )
    return query.with_for_update(of=_lane, skip_locked=True) if pg else query


_DUE = Statement(_due)


def due(tx: Tx, most: int, full: Iterable[int]) -> Sequence[Any]:
    """Lanes whose turn it is, the longest waiting first; locked. Status is None where the subscription is gone."""
    return _DUE.one(tx.sql, now=tx.now, most=most, full=compiled.names(tx.postgres, full))


_ANY_DUE = Statement(
    lambda pg: (
        select(_lane.c.id)
        .where(_lane.c.due_at.is_not(None), _lane.c.due_at <= bindparam("now"), ~compiled.among(pg, _lane.c.id, "full"))
        .order_by(_lane.c.due_at)  # or a planner without statistics expects to meet one by walking all
        .limit(1)
    )
)


def any_due(sql: Connection, now: int, full: Iterable[int]) -> bool:
    """Whoever has them locked."""
    return bool(_ANY_DUE.plain(sql, now=now, full=compiled.names(sql.dialect.name == "postgresql", full)))


_HEADS = Statement(
    lambda pg: select(
        _lane.c.id,
        select(func.min(_delivery.c.due_at)).where(_delivery.c.subscription_id == _lane.c.id, FRESH).scalar_subquery(),
        select(func.min(_delivery.c.due_at)).where(_delivery.c.subscription_id == _lane.c.id, AGAIN).scalar_subquery(),
    ).where(compiled.among(pg, _lane.c.id, "ids"))
)


def heads(tx: Tx, lane_ids: Iterable[int]) -> dict[int, int | None]:
    """When the next delivery of each lane is due; leases count. None: nothing is open."""
    found = _HEADS.plain(tx.sql, ids=compiled.names(tx.postgres, lane_ids))
    return {i: min((at for at in ats if at is not None), default=None) for i, *ats in found}


_SOME = (
    "SELECT id, subscription_id, attempts, spent, due_at, {again} AS again FROM delivery WHERE subscription_id = {lane}"
    " AND due_at IS NOT NULL AND {which} AND due_at <= :now ORDER BY due_at LIMIT {most}"
)
_BOTH = {
    False: "SELECT * FROM ({fresh}) UNION ALL SELECT * FROM ({again})",
    True: "SELECT w.* FROM unnest(CAST(:lanes AS bigint[]), CAST(:mosts AS bigint[])) AS lane(id, most)"
    " CROSS JOIN LATERAL (({fresh}) UNION ALL ({again})) w",
}


def _waiting(pg: bool) -> Any:
    """SQLite knows no LATERAL: there it runs once for each lane, which costs little without a network between."""
    mine = {"lane": "lane.id", "most": "lane.most"} if pg else {"lane": ":lane", "most": ":most"}
    fresh = _SOME.format(again=0, which="attempts = 0 AND NOT recovered", **mine)
    again = _SOME.format(again=1, which="(attempts > 0 OR recovered)", **mine)
    return text(_BOTH[pg].format(fresh=fresh, again=again))


_WAITING = Statement(_waiting)


def waiting(tx: Tx, mosts: Mapping[int, int]) -> dict[int, tuple[list[Any], list[Any]]]:
    """Of each lane so many deliveries that are due now, the oldest first: the fresh ones, and those that failed before or
    are recovered."""
    found: dict[int, tuple[list[Any], list[Any]]] = {lane_id: ([], []) for lane_id in mosts}
    if tx.postgres:
        rows = _WAITING.one(tx.sql, lanes=list(mosts), mosts=list(mosts.values()), now=tx.now) if mosts else ()
    else:
        rows = [row for lane_id, most in mosts.items() for row in _WAITING.one(tx.sql, lane=lane_id, most=most, now=tx.now)]
    for row in rows:
        found[row.subscription_id][row.again].append(row)
    return found


_MOVE = Update("lane", ("due_at", "idle_ms", "spent_until"))
Move = tuple[int | None, int, int, int]
"""`due_at`, `idle_ms`, `spent_until`, and the lane."""


def move(tx: Tx, rows: Sequence[Move]) -> None:
    """What the lanes that had their turn look like after it."""
    _MOVE.rows(tx, rows)


# --- adding to a lane ---


def _touch(pg: bool) -> Any:
    at = bindparam("at", type_=_lane.c.due_at.type)
    held = case((_lane.c.held_until > at, _lane.c.held_until), else_=at)
    # An open breaker has its own time, set by whoever opened it or took the probe.
    sooner = or_(_lane.c.due_at.is_(None), and_(_lane.c.due_at > held, _lane.c.failures < bindparam("limit", BREAKER_FAILURES)))
    kept = case((sooner, held), else_=_lane.c.due_at)
    # No condition on what it is now: on PostgreSQL the lock is what orders this and the look of whoever has the turn.
    return update(_lane).where(compiled.among(pg, _lane.c.id, "ids")).values(due_at=kept, idle_ms=bindparam("_none", 0))


_TOUCH = Statement(_touch)
_ORDERED = Statement(
    lambda _: select(_lane.c.id).where(compiled.among(True, _lane.c.id, "ids")).order_by(_lane.c.id).with_for_update()
)


def touch(tx: Tx, earliest: Mapping[int, int]) -> None:
    """Something in these lanes is due at these instants."""
    if not earliest:
        return
    if tx.postgres:
        _ORDERED.one(tx.sql, ids=sorted(earliest))
    for at in set(earliest.values()):
        ids = sorted(i for i, when in earliest.items() if when == at)
        _TOUCH.one(tx.sql, at=at, ids=compiled.names(tx.postgres, ids))


def park(tx: Tx, lane_id: int) -> None:
    """Nothing of it is sent until it is woken."""
    tx.sql.execute(update(_lane).where(_lane.c.id == lane_id).values(due_at=None))


def wake(tx: Tx, lane_id: int) -> None:
    """As if it had never failed."""
    tx.sql.execute(update(_lane).where(_lane.c.id == lane_id).values(due_at=tx.now, failures=0, held_until=0, idle_ms=0))


# --- what attempts say about a lane ---

_LATELY = Statement(
    lambda pg: (
        select(
            *(_sub.c[n] for n in ("id", "app_id", "task_id", "status", "schedule", "failing_since", "version")),
            *(_lane.c[n] for n in ("failures", "held_until", "failed_at", "abandoned", "abandoned_at")),
        )
        .select_from(_sub.join(_lane, _lane.c.id == _sub.c.id))
        .where(compiled.among(pg, _sub.c.id, "ids"))
    )
)


def lately(tx: Tx, subscription_ids: Iterable[int]) -> dict[int, Any]:
    return {row.id: row for row in _LATELY.one(tx.sql, ids=compiled.names(tx.postgres, subscription_ids))}


_FEEL = Statement(
    lambda _: (
        update(_lane)
        .where(_lane.c.id == bindparam("_id"))
        .values(
            {name: bindparam(f"_{name}") for name in ("due_at", "failures", "held_until", "failed_at")}
            | {"idle_ms": bindparam("_none", 0)}
        )
    )
)


def feel(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Failures counted, pauses begun or ended; and when to look into the lane next."""
    _FEEL.many(tx.sql, sorted(rows, key=lambda row: row["_id"]))


_COUNT = Statement(
    lambda _: (
        update(_lane)
        .where(_lane.c.id == bindparam("_id"))
        .values(abandoned=bindparam("_abandoned"), abandoned_at=bindparam("_abandoned_at"))
    )
)


def count_abandoned(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    _COUNT.many(tx.sql, sorted(rows, key=lambda row: row["_id"]))


def untold(tx: Tx, before: int, most: int) -> Sequence[Any]:
    """Lanes whose deliveries were given up, were not told of, and may be told of again."""
    query = (
        select(_lane.c.id, _lane.c.abandoned, _sub.c.app_id)
        .join(_sub, _sub.c.id == _lane.c.id)
        .where(text("lane.abandoned > 0"), _lane.c.abandoned_at <= before)
        .order_by(_lane.c.abandoned_at)
        .limit(most)
    )
    return tx.sql.execute(query.with_for_update(of=_lane, skip_locked=True) if tx.postgres else query).all()


def places(sql: Connection, subscription_ids: Iterable[int]) -> dict[int, Any]:
    """Where what these are to be told waits."""
    query = (
        select(
            *(_sub.c[n] for n in ("id", "status", "sealed", "rate")),
            *(_lane.c[n] for n in ("failures", "held_until", "spent_until")),
            _lane.c.due_at.label("look_at"),
            _pace.c.next_at.label("pace_at"),
        )
        .select_from(_sub.join(_lane, _lane.c.id == _sub.c.id).outerjoin(_pace, _pace.c.id == _sub.c.pace_id))
        .where(_sub.c.id.in_(sorted(set(subscription_ids))))
    )
    return {row.id: row for row in sql.execute(query)}


# --- paces ---


def add_paces(tx: Tx, pace_ids: Iterable[int]) -> None:
    insert_new(tx, _pace, [{"id": i, "next_at": 0} for i in sorted(set(pace_ids))])


def paces(tx: Tx, pace_ids: Iterable[int]) -> dict[int, int]:
    """From when on each address may be written to; locked. Left out: somebody else has it locked."""
    wanted = sorted(set(pace_ids))
    if not wanted:
        return {}
    return dict(_PACES.plain(tx.sql, ids=compiled.names(tx.postgres, wanted)))


def _paces(pg: bool) -> Any:
    query = select(_pace.c.id, _pace.c.next_at).where(compiled.among(pg, _pace.c.id, "ids")).order_by(_pace.c.id)
    return query.with_for_update(skip_locked=True) if pg else query


_PACES = Statement(_paces)
_SET_PACE = Statement(lambda _: update(_pace).where(_pace.c.id == bindparam("pace_id")).values(next_at=bindparam("at")))


def set_paces(tx: Tx, next_at: Mapping[int, int]) -> None:
    _SET_PACE.many(tx.sql, [{"pace_id": pace_id, "at": at} for pace_id, at in sorted(next_at.items())])


def free_paces(tx: Tx, next_at: Mapping[tuple[int, int], int]) -> None:
    """These addresses may be written to again from then on: whatever waits for them looks again. Each with the end of the
    lease it was held by: whoever has held it longer than that may find it in another's hands, and leaves it there."""
    for (pace_id, lease_until), at in sorted(next_at.items()):
        if _FREE_PACE.plain(tx.sql, pace_id=pace_id, lease_until=lease_until, at=at):
            _SOONER.one(tx.sql, pace_id=pace_id, at=at)


def _sooner() -> Any:
    at = bindparam("at", type_=_lane.c.due_at.type)
    waits = _lane.c.id.in_(select(_sub.c.id).where(_sub.c.pace_id == bindparam("pace_id")))
    sooner = and_(waits, _lane.c.due_at > at, _lane.c.failures < bindparam("limit", BREAKER_FAILURES), _lane.c.held_until <= at)
    return update(_lane).where(sooner).values(due_at=at)


_FREE_PACE = Statement(
    lambda _: (
        update(_pace)
        .where(_pace.c.id == bindparam("pace_id"), _pace.c.next_at == bindparam("lease_until"))
        .values(next_at=bindparam("at"))
        .returning(_pace.c.id)
    )
)
_SOONER = Statement(lambda _: _sooner())
