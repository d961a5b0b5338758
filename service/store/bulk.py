"""Many rows of one table at once, on the hot paths: tuples in, one statement out.

SQLite takes rows in powers of two, or one by one in C. PostgreSQL gets columns as arrays and does all rows in one
go (`unnest`), which costs its server a fifth of a statement for each row. Values have to be what the drivers take as they
are: int, str, bytes, bool, None.
"""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from sqlalchemy import Column, Connection
from sqlalchemy.dialects import postgresql

from service.store.compiled import each, run
from service.store.tables import TABLES

_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


MOST = 64
"""Rows of one statement on SQLite; they come in powers of two, so that few texts are prepared."""


class Insert:
    """Rows are tuples in the order of the table's columns, all of them."""

    def __init__(self, table: str) -> None:
        columns = list(TABLES[table].c)
        self._width = len(columns)
        into = f"INSERT INTO {_quoted(table)} ({', '.join(_quoted(c.name) for c in columns)})"
        self._sqlite = _Several(f"{into} VALUES ", len(columns))
        self._postgres = f"{into} SELECT * FROM unnest({_arrays(columns)})"  # noqa: S608 names of our own columns

    def rows(self, sql: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        assert all(len(row) == self._width for row in rows)
        if rows and sql.dialect.name == "sqlite":
            self._sqlite.run(sql, rows)
        elif rows:
            _columns(sql, self._postgres, rows)


class Update:
    """These columns of the rows with these ids. Rows are tuples of the columns' values, and the id last."""

    def __init__(self, table: str, names: Sequence[str]) -> None:
        columns = [TABLES[table].c[name] for name in (*names, "id")]
        quoted = [_quoted(c.name) for c in columns]
        self._pick = attrgetter(*names, "id")
        given = ", ".join(f"{q} = ?" for q in quoted[:-1])
        found = ", ".join(f"{q} = v.{q}" for q in quoted[:-1])
        rows = f"unnest({_arrays(columns)}) AS v({', '.join(quoted)})"
        self._sqlite = f"UPDATE {_quoted(table)} SET {given} WHERE id = ?"  # noqa: S608
        self._postgres = f"UPDATE {_quoted(table)} AS t SET {found} FROM {rows} WHERE t.id = v.id"  # noqa: S608

    def rows(self, sql: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows and sql.dialect.name == "sqlite":
            each(sql, self._sqlite, rows)
        elif rows:
            _columns(sql, self._postgres, rows)

    def objects(self, sql: Connection, objects: Sequence[Any]) -> None:
        """The columns are the objects' attributes."""
        self.rows(sql, list(map(self._pick, objects)))


class _Several:
    """An INSERT of SQLite that takes several rows: half the time of one step for each."""

    def __init__(self, head: str, width: int) -> None:
        row = f"({', '.join('?' * width)})"
        self._texts = [head + ", ".join([row] * (1 << n)) for n in range(MOST.bit_length())]

    def run(self, sql: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        at = 0
        while at < len(rows):
            n = min(len(rows) - at, MOST).bit_length() - 1
            run(sql, self._texts[n], list(chain.from_iterable(rows[at : at + (1 << n)])))
            at += 1 << n


def _columns(sql: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """PostgreSQL: each column as an array."""
    sql.exec_driver_sql(statement, tuple(list(column) for column in zip(*rows, strict=True)))


def _arrays(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(f"${n}::{c.type.compile(_POSTGRES)}[]" for n, c in enumerate(columns, 1))


def _quoted(name: str) -> str:
    """`order` is a word of SQL."""
    return f'"{name}"'
