"""Hot statements: written in Core once, compiled once for each engine, run with plain tuples.

Core builds and keys a statement anew at every call, and converts every value of every row; on the path of a callback that
costs more than the database. Here the driver gets the finished text. Values have to be what the drivers take as they are:
int, str, bytes, bool, None; for a set of names use `Among`.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import BigInteger, ColumnElement, Connection, Executable, String, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError


def among(postgres: bool, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """`column IN :name` as one text for any number of values; bind it with `names`."""
    if postgres:
        kind = String() if isinstance(column.type, String) else BigInteger()
        return column == func.any(bindparam(name, type_=ARRAY(kind)))
    return column.in_(select(func.json_each(bindparam(name, type_=String())).table_valued("value").c.value))


def names(postgres: bool, values: Iterable[Any]) -> Any:
    """The value for an `among`."""
    values = list(values)
    return values if postgres else orjson.dumps(values).decode()


class Statement:
    """`build(postgres)` makes the Core statement; all its parameters are named binds."""

    def __init__(self, build: Callable[[bool], Any]) -> None:
        self._build = build
        self._compiled: dict[str, tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {}
        self._row: Callable[[Iterable[Any]], Any] | None = None
        """Makes a row with names; what SQLAlchemy makes anew for every result."""

    def one(self, sql: Connection, **values: Any) -> Sequence[Any]:
        """Run once; the rows, if it has any."""
        text, order = self._for(sql)
        if sql.dispatch.before_cursor_execute:
            result = sql.exec_driver_sql(text, order(values))
            return result.all() if result.returns_rows else ()
        found, columns = _asked(sql, text, order(values))
        if columns is None:
            return ()
        if self._row is None:
            self._row = namedtuple("Row", [column[0] for column in columns], rename=True)._make  # type: ignore[attr-defined]
        return list(map(self._row, found))

    def many(self, sql: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run for each row, in one exchange."""
        if rows:
            text, order = self._for(sql)
            each(sql, text, [order(row) for row in rows])

    def plain(self, sql: Connection, **values: Any) -> Sequence[Any]:
        """As `one`, with rows that have places only and no names."""
        text, order = self._for(sql)
        if sql.dispatch.before_cursor_execute:
            return sql.exec_driver_sql(text, order(values)).all()
        return _asked(sql, text, order(values))[0]

    def _for(self, sql: Connection) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
        found = self._compiled.get(sql.dialect.name)
        if found is None:
            statement: Executable = self._build(sql.dialect.name == "postgresql")
            compiled = statement.compile(dialect=sql.dialect)  # type: ignore[attr-defined]
            places = tuple(compiled.positiontup or ())
            fixed = {k: v for k, v in compiled.params.items() if v is not None and k in places}
            found = self._compiled[sql.dialect.name] = (str(compiled), _picker(places, fixed))
        return found


def each(sql: Connection, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """One statement for many rows. On SQLite straight to the driver: what lies between costs as much as forty rows."""
    if sql.dialect.name != "sqlite":
        sql.exec_driver_sql(text, list(rows))
        return
    try:
        _driver(sql).executemany(text, rows)
    except sqlite3.Error as error:
        raise _wrapped(sql, text, error) from error


def run(sql: Connection, text: str, values: Sequence[Any]) -> None:
    """One statement without rows to read."""
    if sql.dispatch.before_cursor_execute:
        sql.exec_driver_sql(text, tuple(values))
    else:
        _asked(sql, text, values)


def _asked(sql: Connection, text: str, values: Sequence[Any]) -> tuple[Sequence[Any], Any]:
    """Rows and their columns from the driver itself, unless somebody listens to what is said: between it and us, SQLAlchemy
    makes names and converters for each column of each result, which costs more than most of our statements."""
    if sql.dialect.name == "sqlite":
        try:
            found = _driver(sql).execute(text, values)
            return found.fetchall(), found.description
        except sqlite3.Error as error:
            raise _wrapped(sql, text, error) from error
    errors = sql.dialect.dbapi.Error  # type: ignore[union-attr]
    cursor = sql.connection.cursor()
    try:
        cursor.execute(text, tuple(values))
        return cursor.fetchall() if cursor.description is not None else (), cursor.description
    except errors as error:
        if sql.dialect.is_disconnect(error, sql.connection.dbapi_connection, cursor):
            sql.exec_driver_sql("SELECT 1")  # fails, too, and lets SQLAlchemy let go of all connections that are as old
        raise DBAPIError.instance(text, None, error, errors, hide_parameters=True, dialect=sql.dialect) from error
    finally:
        cursor.close()


def _driver(sql: Connection) -> sqlite3.Connection:
    connection = sql.connection.dbapi_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


def _wrapped(sql: Connection, text: str, error: sqlite3.Error) -> BaseException:
    """As everybody else's errors look."""
    return DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True, dialect=sql.dialect)


def _picker(places: Sequence[str], fixed: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """From named values to the driver's order; constants of the statement itself are filled in."""
    if fixed:
        return lambda values: tuple(values[p] if p in values else fixed[p] for p in places)
    match places:
        case ():
            return lambda _: ()
        case (only,):
            return lambda values: (values[only],)
        case _:
            return itemgetter(*places)
