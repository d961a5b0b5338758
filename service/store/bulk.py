"""Many rows of one table at once, on the hot paths: tuples in, one statement out.

SQLite takes rows in powers of two, or one by one in C. PostgreSQL gets them as one array (`unnest`), which costs its server a
fifth of a statement for each row; and what is written `together` goes to it in one exchange, which costs us as much as a
handful of rows. Values have to be what the drivers take as they are: int, str, bytes,
bool, None.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import Connection

from service.store.compiled import each, run
from service.store.database import Tx
from service.store.tables import TABLES

MOST = 64
"""Rows of one statement on SQLite; they come in powers of two, so that few texts are prepared."""


class Insert:
    """Rows are tuples in the order of these columns; unless they are named, of all that the table has. PostgreSQL may compute
    some by itself."""

    def __init__(self, table: str, names: Sequence[str] = (), computed: Mapping[str, str] | None = None) -> None:
        computed = computed or {}
        columns = [TABLES[table].c[name] for name in names] if names else list(TABLES[table].c)
        self._width = len(columns)
        into = f"INSERT INTO {_quoted(table)} ({', '.join(_quoted(c.name) for c in columns)})"
        self._sqlite = _Several(f"{into} VALUES ", len(columns))
        values = ", ".join(computed.get(c.name, f"v.{_quoted(c.name)}") for c in columns)
        self._postgres = _Rows(f"{into} SELECT {values} FROM {{rows}}", table, [c.name for c in columns])  # noqa: S608

    def rows(self, tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
        assert all(len(row) == self._width for row in rows)
        if rows and tx.postgres:
            _write(tx, self._postgres, rows)
        elif rows:
            self._sqlite.run(tx.sql, rows)


class Update:
    """These columns of the rows with these ids. Rows are tuples of the columns' values, and the id last."""

    def __init__(self, table: str, names: Sequence[str]) -> None:
        quoted = [_quoted(name) for name in names]
        self._pick = attrgetter(*names, "id")
        given = ", ".join(f"{q} = ?" for q in quoted)
        found = ", ".join(f"{q} = v.{q}" for q in quoted)
        self._sqlite = f"UPDATE {_quoted(table)} SET {given} WHERE id = ?"  # noqa: S608
        change = f"UPDATE {_quoted(table)} AS t SET {found} FROM {{rows}} WHERE t.id = v.id"  # noqa: S608
        self._postgres = _Rows(change, table, [*names, "id"])

    def rows(self, tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows and tx.postgres:
            _write(tx, self._postgres, rows)
        elif rows:
            each(tx.sql, self._sqlite, rows)

    def objects(self, tx: Tx, objects: Sequence[Any]) -> None:
        """The columns are the objects' attributes."""
        self.rows(tx, list(map(self._pick, objects)))


@contextmanager
def together(tx: Tx) -> Iterator[None]:
    """What is written in here with the two above is sent at its end, on PostgreSQL as one statement: no row twice, and
    nothing that is read in here may depend on it."""
    if not tx.postgres or tx.unsent is not None:
        yield
        return
    unsent = tx.unsent = []
    try:
        yield
    finally:
        tx.unsent = None
    if unsent:
        parts = tuple([part for part, _ in unsent])
        text = _TEXTS.get(parts) or _TEXTS.setdefault(parts, _as_one(parts))
        run(tx.sql, text, [part.array(rows) for part, rows in unsent])


class _Rows:
    """A statement of PostgreSQL that takes its rows as an array of the table's own row type: an array for each column costs the
    driver three times as much, which looks at every value for arrays within it. `{rows}` in it is where they are."""

    def __init__(self, statement: str, table: str, given: Sequence[str]) -> None:
        """`given`: the columns that a row holds, in its order. The others are NULL and not looked at."""
        self.statement, self.table = statement, table
        names = [c.name for c in TABLES[table].c]
        nothing = len(given)
        self._whole = list(given) == names
        self._place = itemgetter(*(given.index(name) if name in given else nothing for name in names))

    def array(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return list(rows) if self._whole else [self._place((*row, None)) for row in rows]


def _write(tx: Tx, part: _Rows, rows: Sequence[tuple[Any, ...]]) -> None:
    with together(tx):
        assert tx.unsent is not None
        tx.unsent.append((part, rows))


_TEXTS: dict[tuple[_Rows, ...], str] = {}


def _as_one(parts: Sequence[_Rows]) -> str:
    texts = [
        part.statement.format(rows=f"unnest(${number}::{_quoted(part.table)}[]) AS v") for number, part in enumerate(parts, 1)
    ]
    *before, last = texts
    return f"WITH {', '.join(f'w{n} AS ({text})' for n, text in enumerate(before))} {last}" if before else last


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


def _quoted(name: str) -> str:
    """`order` is a word of SQL."""
    return f'"{name}"'
