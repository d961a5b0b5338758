"""When a delivery is expected to be tried, and what holds it up until then: for people who ask, after the fact.

Absent on purpose: decisions. `flow/claim.py` takes them, at the time.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from service.domain.turn import Expected, Place, expected
from service.parts import Parts
from service.store import lanes


def expectations(parts: Parts, sql: Connection, rows: Iterable[Any]) -> dict[int, Expected]:
    """Of those deliveries that are still to be tried, by their ids."""
    waiting = [row for row in rows if row.due_at is not None]
    if not waiting:
        return {}
    places = {i: _place(parts, row) for i, row in lanes.places(sql, {row.subscription_id for row in waiting}).items()}
    now = parts.clock()
    return {row.id: expected(row.due_at, now, places[row.subscription_id]) for row in waiting if row.subscription_id in places}


def _place(parts: Parts, row: Any) -> Place:
    opens = parts.seal.opens(bytes(row.sealed))
    return Place(row.status, opens, row.failures, row.held_until, row.look_at, row.rate, row.spent_until, row.pace_at)
