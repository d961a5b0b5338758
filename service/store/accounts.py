"""What is known of the accounts beyond their configuration: breakers, whose turn it is to ask, totals, learned durations."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from service.domain.breaker import Breaker
from service.domain.route import Key
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import insert_new
from service.store.tables import TABLES

_account, _tally, _sample = TABLES["account"], TABLES["tally"], TABLES["sample"]
_NEW = {"failures": 0, "open_until": None, "probed_at": None, "asking_until": 0, "list_at": 0, "get_at": 0, "silent_count": 0}


_THIS = and_(_account.c.provider == bindparam("of"), _account.c.name == bindparam("named"))
_ALL = Statement(lambda _: select(_account))
_HELD = Statement(lambda pg: select(_account).where(_THIS).with_for_update() if pg else select(_account).where(_THIS))


def rows(sql: Connection) -> dict[Key, Row[Any]]:
    return {(row.provider, row.name): row for row in _ALL.one(sql)}


def breakers(sql: Connection) -> dict[Key, Breaker]:
    """Of the accounts that have a row; the others never failed."""
    return {key: Breaker(row.failures, row.open_until, row.probed_at) for key, row in rows(sql).items()}


def held(tx: Tx, key: Key) -> Row[Any]:
    """The account's row, made if need be, locked."""
    found = _HELD.one(tx.sql, of=key[0], named=key[1])
    if not found:
        insert_new(tx, _account, [{"provider": key[0], "name": key[1], **_NEW}])
        found = _HELD.one(tx.sql, of=key[0], named=key[1])
    row: Row[Any] = found[0]
    return row


def change(tx: Tx, key: Key, **values: Any) -> None:
    names = tuple(values)
    statement = _CHANGES.get(names)
    if statement is None:
        binds: dict[str, Any] = {name: bindparam(name) for name in names}
        statement = _CHANGES[names] = Statement(lambda _: update(_account).where(_THIS).values(binds))
    statement.one(tx.sql, of=key[0], named=key[1], **values)


_CHANGES: dict[tuple[str, ...], Statement] = {}
"""By the columns that change."""


def save_breaker(tx: Tx, key: Key, breaker: Breaker) -> None:
    change(tx, key, failures=breaker.failures, open_until=breaker.open_until, probed_at=breaker.probed_at)


# --- totals and samples: counters that only grow by what each process has counted since it last wrote ---


def add_counts(tx: Tx, tallies: Mapping[tuple[str, str, str], int], samples: Mapping[tuple[str, str, str, int], int]) -> None:
    # In one order everywhere, so that two processes never wait for each other crosswise.
    of_accounts = [{**dict(zip(("provider", "account", "what"), k, strict=True)), "count": tallies[k]} for k in sorted(tallies)]
    names = ("provider", "model", "state", "bucket")
    durations = [{**dict(zip(names, k, strict=True)), "count": samples[k]} for k in sorted(samples)]
    _ADD_TALLIES.many(tx.sql, of_accounts)
    _ADD_SAMPLES.many(tx.sql, durations)


def _grow(pg: bool, table: Table) -> Any:
    new = (postgres_insert if pg else sqlite_insert)(table)
    grown = {"count": table.c.count + new.excluded["count"]}
    binds: dict[str, Any] = {name: bindparam(name) for name in table.c.keys()}  # noqa: SIM118 (a table's columns, not a dict)
    return new.values(binds).on_conflict_do_update(index_elements=list(table.primary_key), set_=grown)


_ADD_TALLIES = Statement(lambda pg: _grow(pg, _tally))
_ADD_SAMPLES = Statement(lambda pg: _grow(pg, _sample))
_SAMPLES = Statement(lambda _: select(*(_sample.c[name] for name in ("provider", "model", "state", "bucket", "count"))))


def tallies(sql: Connection) -> dict[Key, dict[str, int]]:
    found: dict[Key, dict[str, int]] = defaultdict(dict)
    for row in sql.execute(select(_tally)):
        found[row.provider, row.account][row.what] = row._mapping["count"]
    return found


def samples(sql: Connection) -> dict[tuple[str, str, str], dict[int, int]]:
    found: dict[tuple[str, str, str], dict[int, int]] = defaultdict(dict)
    for provider, model, state, bucket, count in _SAMPLES.plain(sql):
        found[provider, model, state][bucket] = count
    return found


def halve(tx: Tx, groups: Iterable[tuple[str, str, str]]) -> None:
    for provider, model, state in groups:
        mine = (_sample.c.provider == provider, _sample.c.model == model, _sample.c.state == state)
        tx.sql.execute(update(_sample).where(*mine).values(count=func.round(_sample.c.count / 2)))
        tx.sql.execute(_sample.delete().where(*mine, _sample.c.count <= 0))
