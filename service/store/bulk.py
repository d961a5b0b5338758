"""Many rows of one table at once, on the hot paths: tuples in, one statement out.

SQLite runs it for each row, in C and without a network between. PostgreSQL gets columns as arrays and does all rows in one
go (`unnest`), which costs its server a fifth of a statement for each row. Values have to be what the drivers take as they
are: int, str, bytes, bool, None.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Column, Connection
from sqlalchemy.dialects import postgresql, sqlite

from service.store.compiled import each
from service.store.tables import TABLES

_POSTGRES, _SQLITE = postgresql.dialect(), sqlite.dialect()  # type: ignore[no-untyped-call]


class Insert:
    """Rows are tuples in the order of the table's columns, all of them."""

    def __init__(self, table: str) -> None:
        columns = list(TABLES[table].c)
        self._width = len(columns)
        into = f"INSERT INTO {_quoted(table)} ({', '.join(_quoted(c.name) for c in columns)})"
        self._sqlite = f"{into} VALUES ({', '.join('?' * len(columns))})"
        self._postgres = f"{into} SELECT * FROM unnest({_arrays(columns)})"  # noqa: S608 names of our own columns

    def rows(self, sql: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        assert all(len(row) == self._width for row in rows)
        _run(sql, self._sqlite, self._postgres, rows)


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
        _run(sql, self._sqlite, self._postgres, rows)

    def objects(self, sql: Connection, objects: Sequence[Any]) -> None:
        """The columns are the objects' attributes."""
        self.rows(sql, list(map(self._pick, objects)))


def _run(sql: Connection, on_sqlite: str, on_postgres: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    if sql.dialect.name == "sqlite":
        each(sql, on_sqlite, rows)
    else:
        sql.exec_driver_sql(on_postgres, tuple(list(column) for column in zip(*rows, strict=True)))


def _arrays(columns: Sequence[Column[Any]]) -> str:
    return ", ".join(f"${n}::{c.type.compile(_POSTGRES)}[]" for n, c in enumerate(columns, 1))


def _quoted(name: str) -> str:
    """`order` is a word of SQL."""
    return f'"{name}"'
