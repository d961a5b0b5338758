"""Every claim is a range of a partial index, on both engines: a million ended tasks are none of its business."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from service.domain.admission import Caps
from service.store import stale, waiting
from service.store.database import Tx
from tests.world import ARK, World

pytestmark = pytest.mark.anyio

KEY = ("ark", "default")
CLAIMS: dict[str, tuple[str, Callable[[Tx], Any]]] = {
    "which accounts to ask": ("task_to_ask", lambda tx: stale.accounts(tx.sql)),
    "is anything stale": ("task_to_ask", lambda tx: stale.any_due(tx.sql, KEY, tx.now)),
    "the oldest stale": ("task_to_ask", lambda tx: stale.oldest(tx, KEY, 500)),
    "what is still open": ("submission_open", lambda tx: stale.open_submissions(tx.sql, "ark", ARK)),
    "what was denied": ("PRIMARY KEY", lambda tx: stale.denied(tx.sql, "ark", ARK, tx.now - 60_000)),
    "does anybody wait": ("task_to_place", lambda tx: waiting.anybody_due(tx)),
    "who waits for what": ("task_waiting", lambda tx: waiting.lanes(tx.sql)),
    "the first of a lane": ("task_waiting", lambda tx: waiting.first(tx, waiting.Lane("default", "ark/default"), 50)),
    "what ran out": ("task_running_out", lambda tx: waiting.ran_out(tx.sql, tx.now, 10)),
    "what is in flight": ("task_in_flight", lambda tx: waiting.in_flight(tx.sql)),
    "sent in the last minute": ("PRIMARY KEY", lambda tx: waiting.sent_since(tx.sql, KEY, tx.now - 60_000)),
    "room": ("task_in_flight", lambda tx: waiting.rooms(tx.sql, tx.now, {KEY: Caps(5, 5)})),
}


@pytest.mark.parametrize("name", CLAIMS)
async def test_each_claim_uses_its_index(world: World, name: str) -> None:
    index, claim = CLAIMS[name]

    def look(tx: Tx) -> str:
        seen: list[tuple[str, Any]] = []

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
            seen.append((statement, parameters))

        event.listen(tx.sql, "before_cursor_execute", note)
        claim(tx)
        event.remove(tx.sql, "before_cursor_execute", note)
        return explained(tx.sql, *next((s, p) for s, p in seen if "account." not in s))

    plan = await world.db.write(look)
    assert index in plan.replace("submission_pkey", "PRIMARY KEY"), plan
    assert not re.search(r"SCAN (task|submission)\b(?! USING)", plan), plan


def explained(sql: Connection, statement: str, parameters: Any) -> str:
    if sql.dialect.name == "sqlite":
        return " ".join(str(row) for row in sql.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
    # Among a handful of rows PostgreSQL would rather read them all.
    for kind in ("seqscan", "bitmapscan", "sort"):
        sql.execute(text(f"SET LOCAL enable_{kind} = off"))
    return " ".join(str(row[0]) for row in sql.exec_driver_sql(f"EXPLAIN {statement}", parameters))
