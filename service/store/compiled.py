"""Hot statements: written in Core once, compiled once for each engine, run with plain tuples.

Core builds and keys a statement anew at every call, and converts every value of every row; on the path of a callback that
costs more than the database. Here the driver gets the finished text. Values have to be what the drivers take as they are:
int, str, bytes, bool, None; for a set of names use `Among`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import orjson
from sqlalchemy import BigInteger, ColumnElement, Connection, Executable, String, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY


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
        self._places: dict[str, Sequence[str]] = {}
        self._attributes: dict[str, Callable[[Any], Any]] = {}
        self._compiled: dict[str, tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {}

    def one(self, sql: Connection, **values: Any) -> Sequence[Any]:
        """Run once; the rows, if it has any."""
        text, order = self._for(sql)
        result = sql.exec_driver_sql(text, order(values))
        return result.all() if result.returns_rows else ()

    def many(self, sql: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run for each row, in one exchange."""
        if rows:
            text, order = self._for(sql)
            sql.exec_driver_sql(text, [order(row) for row in rows])

    def objects(self, sql: Connection, rows: Sequence[Any]) -> None:
        """As `many`, with the binds named after the attributes, behind an underscore."""
        if rows:
            text, _ = self._for(sql)
            engine = sql.dialect.name
            get = self._attributes.get(engine)
            if get is None:
                get = self._attributes[engine] = attrgetter(*(place[1:] for place in self._places[engine]))
            sql.exec_driver_sql(text, list(map(get, rows)))

    def _for(self, sql: Connection) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
        found = self._compiled.get(sql.dialect.name)
        if found is None:
            statement: Executable = self._build(sql.dialect.name == "postgresql")
            compiled = statement.compile(dialect=sql.dialect)  # type: ignore[attr-defined]
            places = self._places[sql.dialect.name] = tuple(compiled.positiontup or ())
            fixed = {k: v for k, v in compiled.params.items() if v is not None and k in places}
            found = self._compiled[sql.dialect.name] = (str(compiled), _picker(places, fixed))
        return found


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
