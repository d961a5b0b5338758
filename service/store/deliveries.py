"""Promises made to subscriptions: deliveries, leased by `due_at`, fenced, settled with their attempts."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, null, select, update

from service.domain.forgetting import FORGOTTEN
from service.store import compiled, lanes
from service.store.bulk import Insert, Update
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import among
from service.store.tables import TABLES

_delivery, _attempt, _event, _task = (TABLES[n] for n in ("delivery", "attempt", "event", "task"))

OPEN, SKIPPED = "pending", "skipped"
UNDELIVERED = ("abandoned", "skipped")


_ADD_DELIVERIES = Insert("delivery")


def add_deliveries(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Each in the order of the table's columns."""
    _ADD_DELIVERIES.rows(tx, rows)


_DUE = (
    *(_delivery.c[n] for n in ("id", "app_id", "subscription_id", "attempts", "spent", "fence", "hurried")),
    *(_event.c[n] for n in ("type", "at", "body")),
)
_TO_LEASE = {"due_at": bindparam("lease_until"), "fence": _delivery.c.fence + bindparam("_one", 1)}
_LEASE = Statement(lambda pg: update(_delivery).where(compiled.among(pg, _delivery.c.id, "ids")).values(_TO_LEASE))
_LEASED = Statement(
    lambda pg: (
        select(*_DUE)
        .join(_event, _event.c.id == _delivery.c.event_id)
        .where(compiled.among(pg, _delivery.c.id, "ids"))
        .order_by(_delivery.c.id)
    )
)


def _lease_at_once() -> Any:
    still = (
        select(_delivery.c.id)
        .where(compiled.among(True, _delivery.c.id, "ids"), _delivery.c.due_at <= bindparam("now"))
        .with_for_update(skip_locked=True)
        .cte("still")
    )
    leased = update(_delivery).where(_delivery.c.id == still.c.id).values(_TO_LEASE).returning(*_delivery.c).cte("leased")
    columns = [leased.c[c.name] if c.table is _delivery else c for c in _DUE]
    return select(*columns).join(_event, _event.c.id == leased.c.event_id).order_by(leased.c.id)


_LEASE_AT_ONCE = Statement(lambda _: _lease_at_once())


def lease(tx: Tx, delivery_ids: Sequence[int], lease_until: int) -> dict[int, Any]:
    """Those of them that are still due, fenced, with what an attempt needs. Their lanes are locked; a late settlement may
    hold one of them all the same, and is not waited for."""
    if not delivery_ids:
        return {}
    named = compiled.names(tx.postgres, delivery_ids)
    if tx.postgres:
        found = _LEASE_AT_ONCE.plain(tx.sql, ids=named, now=tx.now, lease_until=lease_until)
    else:
        _LEASE.one(tx.sql, ids=named, lease_until=lease_until)
        found = _LEASED.plain(tx.sql, ids=named)
    return {row[0]: row for row in found}


class Held(NamedTuple):
    """A delivery as it is while whoever had leased it comes back."""

    fence: int
    state: str
    attempts: int
    spent: int

    def stands(self, fence: int) -> bool:
        """The lease with this fence. Skipped: its subscription was disabled while the attempt was under way."""
        return fence == self.fence and self.state in (OPEN, SKIPPED)

    def knows(self, fence: int) -> bool:
        """An attempt with this fence was not written down yet."""
        return fence < self.fence or self.stands(fence)

    def with_one_more(self) -> "Held":
        """Attempt, which takes no step of the schedule."""
        return self._replace(attempts=self.attempts + 1, spent=self.spent + 1)


def _held(pg: bool) -> Any:
    columns = (_delivery.c[name] for name in ("id", *Held._fields))
    query = select(*columns).where(compiled.among(pg, _delivery.c.id, "ids"))
    return query.order_by(_delivery.c.id).with_for_update() if pg else query


_HELD = Statement(_held)


def held(tx: Tx, delivery_ids: Iterable[int]) -> dict[int, Held]:
    """Locked."""
    rows = _HELD.plain(tx.sql, ids=compiled.names(tx.postgres, delivery_ids))
    return {row[0]: Held._make(row[1:]) for row in rows}


def fences(sql: Connection, delivery_ids: Sequence[int]) -> dict[int, int]:
    """As they are now; nothing is locked."""
    wanted = among(sql.dialect.name == "postgresql", _delivery.c.id, delivery_ids)
    return {row.id: row.fence for row in sql.execute(select(_delivery.c.id, _delivery.c.fence).where(wanted))}


def forgotten(tx: Tx, delivery_ids: Sequence[int]) -> set[int]:
    """Those that tell of a task whose content was erased."""
    query = select(_delivery.c.id).join(_event, _event.c.id == _delivery.c.event_id).join(_task, _task.c.id == _event.c.task_id)
    query = query.where(among(tx.postgres, _delivery.c.id, delivery_ids), _task.c.reason == FORGOTTEN)
    return set(tx.sql.execute(query).scalars())


_DELIVERED = Statement(
    lambda pg: (
        update(_delivery)
        .where(compiled.among(pg, _delivery.c.id, "ids"))
        .values(
            state=bindparam("_state", "delivered"),
            attempts=_delivery.c.attempts + bindparam("_one", 1),
            due_at=null(),
            ended_at=bindparam("now"),
        )
    )
)
_SETTLE = Update("delivery", ("state", "attempts", "hurried", "due_at", "ended_at"))
_COUNT_LATE = Statement(
    lambda _: (
        update(_delivery)
        .where(_delivery.c.id == bindparam("_id"))
        .values(attempts=_delivery.c.attempts + bindparam("_one", 1), spent=_delivery.c.spent + bindparam("_one", 1))
    )
)
_ADD_ATTEMPTS = Insert("attempt")


def settle(
    tx: Tx,
    late: Sequence[int],
    delivered: Sequence[int],
    others: Sequence[tuple[Any, ...]],
    attempts: Sequence[tuple[Any, ...]],
) -> None:
    """Outcomes together with their attempts: those that came too late to decide are counted, and take no step of the schedule;
    all that arrived in one statement; the others as state, attempts, hurried, due_at, ended_at and id; attempts in the order
    of the table's columns."""
    _COUNT_LATE.many(tx.sql, [{"_id": delivery_id} for delivery_id in late])
    if delivered:
        _DELIVERED.one(tx.sql, ids=compiled.names(tx.postgres, delivered), now=tx.now)
    _SETTLE.rows(tx, others)
    _ADD_ATTEMPTS.rows(tx, attempts)


def release(tx: Tx, claims: Sequence[tuple[int, int]]) -> set[int]:
    """Leases given back unused: due again. Which of them were."""
    found = held(tx, [i for i, _ in claims])
    standing = {i for i, fence in claims if i in found and found[i].stands(fence) and found[i].state == OPEN}
    tx.sql.execute(update(_delivery).where(among(tx.postgres, _delivery.c.id, sorted(standing))).values(due_at=tx.now))
    return standing


def take_back(tx: Tx, lease_ms: int) -> int:
    """Whatever is leased is due at once: for a process that starts and holds the database alone, so that whoever had leased it
    is dead. A pause after a failed attempt that looks like a lease is cut short by as much, once."""
    span = {"now": tx.now, "until": tx.now + lease_ms}
    lanes_of = {row[0] for of in _LEASED_LANES for row in of.plain(tx.sql, **span)}
    count = len(_TAKE_BACK.plain(tx.sql, **span)) if lanes_of else 0
    lanes.touch(tx, dict.fromkeys(lanes_of, tx.now))
    return count


_IN_A_LEASE = and_(
    _delivery.c.due_at > bindparam("now"),
    _delivery.c.due_at <= bindparam("until"),
    _delivery.c.fence > _delivery.c.attempts,
)
_LEASED_LANES = (
    Statement(lambda _: select(_delivery.c.subscription_id).where(lanes.FRESH, _IN_A_LEASE).distinct()),
    Statement(lambda _: select(_delivery.c.subscription_id).where(lanes.AGAIN, _IN_A_LEASE).distinct()),
)
_TAKE_BACK = Statement(
    lambda _: (
        update(_delivery)
        .where(_delivery.c.due_at.is_not(None), _IN_A_LEASE)
        .values(due_at=bindparam("now"))
        .returning(_delivery.c.id)
    )
)


def skip_open(tx: Tx, subscription_id: int, most: int) -> int:
    """A disabled subscription keeps what it would have been told as skipped, to be recovered; so many at a time. What is
    being settled just now is not waited for."""
    ids: list[int] = []
    for which in (lanes.FRESH, lanes.AGAIN):
        query = select(_delivery.c.id).where(_delivery.c.subscription_id == subscription_id, which).limit(most)
        ids += tx.sql.execute(query.with_for_update(skip_locked=True) if tx.postgres else query).scalars()
    skip = update(_delivery).where(among(tx.postgres, _delivery.c.id, ids))
    tx.sql.execute(skip.values(state="skipped", due_at=None, ended_at=tx.now))
    return len(ids)


_AGAIN = {
    "state": OPEN,
    "ended_at": None,
    "hurried": False,
    "spent": _delivery.c.attempts,
    "fence": _delivery.c.fence + 1,
}
"""The fence moves on, so that nobody settles an older claim."""


def send_again(tx: Tx, app_id: str, delivery_id: int) -> bool:
    """Due now, whatever it was; its name and its body stay, its schedule begins anew."""
    again = update(_delivery).where(_delivery.c.id == delivery_id, _delivery.c.app_id == app_id)
    return bool(tx.sql.execute(again.values(**_AGAIN, due_at=tx.now)).rowcount)


def recover(tx: Tx, subscription_id: int, after_id: int, last_id: int, most: int) -> tuple[int, int, int | None]:
    """Walk so many deliveries of a subscription, and make those due again that never arrived. How many were walked, how
    many of them are sent again, and the place reached."""
    query = (
        select(_delivery.c.id, _delivery.c.state)
        .where(_delivery.c.subscription_id == subscription_id, _delivery.c.id > after_id, _delivery.c.id <= last_id)
        .order_by(_delivery.c.id)
        .limit(most)
    )
    rows = tx.sql.execute(query).all()
    lost = among(tx.postgres, _delivery.c.id, [row.id for row in rows if row.state in UNDELIVERED])
    again = update(_delivery).where(lost, _delivery.c.state.in_(UNDELIVERED)).values(**_AGAIN, due_at=tx.now, recovered=True)
    count = tx.sql.execute(again).rowcount
    return len(rows), count, rows[-1].id if rows else None
