"""Rows as the domain's values, and the few pieces of SQL that the two engines spell differently."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, ColumnElement, String, Table, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from service.domain.ids import LAST_ID
from service.domain.lifecycle import State
from service.domain.task import Outcome, Submission, Task
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.tables import TABLES


def among(tx_is_postgres: bool, column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """`column IN values` as one statement text for any number of values, so that plans and caches are kept."""
    values = list(values)
    if tx_is_postgres:
        kind = String() if values and isinstance(values[0], str) else BigInteger()
        return column == func.any(bindparam(None, values, type_=ARRAY(kind)))
    return column.in_(select(func.json_each(orjson.dumps(values).decode()).table_valued("value").c.value))


def named_from(row_id: Column[Any], first_id: Any) -> ColumnElement[bool]:
    """From that name on. With an end, though none is above it: a planner that has no statistics (a database just filled, or
    restored) takes a range with one end for a third of the table, and reads all of it; one with two for half a percent."""
    return row_id.between(first_id, bindparam(None, LAST_ID, BigInteger))


def insert_new(tx: Tx, into: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert, leaving alone what is there already."""
    if rows:
        key = (into.name, tuple(rows[0]))
        statement = _NEW.get(key)
        if statement is None:
            binds: dict[str, Any] = {column: bindparam(column) for column in key[1]}
            statement = _NEW[key] = Statement(
                lambda pg: (postgres_insert if pg else sqlite_insert)(into).values(binds).on_conflict_do_nothing()
            )
        statement.many(tx.sql, rows)


def insert(tx: Tx, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows have the same columns."""
    if rows:
        key = (name, tuple(rows[0]))
        statement = _INSERTS.get(key)
        if statement is None:
            binds: dict[str, Any] = {column: bindparam(column) for column in key[1]}
            statement = _INSERTS[key] = Statement(lambda _: TABLES[name].insert().values(binds))
        statement.many(tx.sql, rows)


_INSERTS: dict[tuple[str, tuple[str, ...]], Statement] = {}
_NEW: dict[tuple[str, tuple[str, ...]], Statement] = {}


ERA = "coalesce((SELECT base FROM era), 0)"
OLDEST_OPEN = text(f"event.xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint + {ERA}")
"""PostgreSQL: events that no transaction still open can step in front of."""


CURRENT_XACT = f"pg_current_xact_id()::text::bigint + {ERA}"
"""PostgreSQL: the number of this transaction, in whose order events are read."""


TASK_FIELDS = Task._fields
SUBMISSION_FIELDS = Submission._fields


def task_columns() -> list[Column[Any]]:
    return [TABLES["task"].c[name] for name in TASK_FIELDS]


def submission_columns() -> list[Column[Any]]:
    return [TABLES["submission"].c[name] for name in SUBMISSION_FIELDS]


_TASK_STATE = TASK_FIELDS.index("state")
_SUBMISSION_OUTCOME = SUBMISSION_FIELDS.index("outcome")
_STATES = {str(state): state for state in State}
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


def to_task(row: Sequence[Any]) -> Task:
    at = _TASK_STATE
    return Task._make((*row[:at], _STATES[row[at]], *row[at + 1 :]))


def to_submission(row: Sequence[Any]) -> Submission:
    at = _SUBMISSION_OUTCOME
    return Submission._make((*row[:at], _OUTCOMES[row[at]], *row[at + 1 :]))
