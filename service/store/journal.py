"""What happened: receipts and events. Written together with the states they explain, read by timeline and feed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, func, select, tuple_

from service.domain.lifecycle import Verdict
from service.domain.news import Source
from service.store.bulk import Insert
from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import CURRENT_XACT, OLDEST_OPEN, insert_new
from service.store.tables import TABLES

_receipt, _event, _word = (TABLES[n] for n in ("receipt", "event", "seen_word"))
_ADD_RECEIPTS, _ADD_EVENTS = Insert("receipt"), Insert("event", computed={"xact": CURRENT_XACT})


def add_receipts(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Each in the order of the table's columns."""
    _ADD_RECEIPTS.rows(tx, rows)


def add_events(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Likewise; `xact` is the database's to say."""
    _ADD_EVENTS.rows(tx, rows)


_KNOWN = Statement(lambda _: select(_word.c.at).where(_word.c.provider == bindparam("of"), _word.c.word == bindparam("said")))


def new_words(tx: Tx, words: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these (provider, word) nobody has seen before; from now on they are seen."""
    fresh = set()
    for provider, word in dict.fromkeys(words):
        if not _KNOWN.plain(tx.sql, of=provider, said=word):
            insert_new(tx, _word, [{"provider": provider, "word": word, "at": tx.now}])
            fresh.add((provider, word))
    return fresh


def receipts(sql: Connection, app_id: str, task_id: int) -> list[Row[Any]]:
    found = select(_receipt).where(_receipt.c.task_id == task_id, _receipt.c.app_id == app_id).order_by(_receipt.c.id)
    return list(sql.execute(found))


def contradicting(sql: Connection, task_id: int, submission_id: int, most: int) -> list[bytes]:
    """Callbacks of a submission that contradicted what was known, as they came, oldest first."""
    mine = (
        _receipt.c.task_id == task_id,
        _receipt.c.submission_id == submission_id,
        _receipt.c.source == Source.CALLBACK.value,
    )
    query = select(_receipt.c.body).where(*mine, _receipt.c.verdict == Verdict.CONFLICT.value, _receipt.c.body.is_not(None))
    return [bytes(body) for body in sql.execute(query.order_by(_receipt.c.id).limit(most)).scalars()]


def events_of(sql: Connection, app_id: str, task_id: int) -> list[Row[Any]]:
    # The sum keeps planners without statistics from laying all events of the app over these few.
    found = select(_event).where(_event.c.task_id == task_id, _event.c.app_id + "" == app_id).order_by(_event.c.id)
    return list(sql.execute(found))


_NAMED = ("task", "submission", "event", "receipt", "delivery", "subscription", "api_key", "job")
"""Tables whose rows are named by `domain/ids.py`."""


def last_id(sql: Connection) -> int:
    """The highest name of all: a process whose clock was set back goes on above it, and gives none a second time."""
    return max(int(top.plain(sql)[0][0]) for top in _TOPS)


def _top(table: Table) -> Statement:
    return Statement(lambda _: select(func.coalesce(func.max(table.c.id), 0)))


_TOPS = [_top(TABLES[name]) for name in _NAMED]


def feed(sql: Connection, app_id: str | None, after: tuple[int, int], limit: int) -> list[Row[Any]]:
    """Events after a place in the order of commits, oldest first; on PostgreSQL only below the oldest transaction that is
    still open, so that nothing can appear behind the reader's back."""
    columns = [_event.c[name] for name in ("id", "xact", "app_id", "type", "task_id", "sequence", "at", "body")]
    return list(sql.execute(_after(sql, select(*columns), app_id, after, limit)))


def feed_sizes(sql: Connection, app_id: str, after: tuple[int, int], limit: int) -> list[int]:
    """The bytes of what `feed` would give, without reading them."""
    return list(sql.execute(_after(sql, select(func.length(_event.c.body)), app_id, after, limit)).scalars())


def _after(sql: Connection, query: Select[Any], app_id: str | None, after: tuple[int, int], limit: int) -> Select[Any]:
    xact, event_id = after
    if app_id is not None:
        query = query.where(_event.c.app_id == app_id)
    if sql.dialect.name == "postgresql":
        query = query.where(tuple_(_event.c.xact, _event.c.id) > tuple_(xact, event_id))
        query = query.where(OLDEST_OPEN)
    else:
        # Every xact is 0 there, and only an equality lets the index go on with the id.
        query = query.where(_event.c.xact == xact, _event.c.id > event_id)
    return query.order_by(_event.c.xact, _event.c.id).limit(limit)


def feed_end(sql: Connection) -> tuple[int, int]:
    """The place after everything that a reader could have seen."""
    query = select(_event.c.xact, _event.c.id)
    if sql.dialect.name == "postgresql":
        query = query.where(OLDEST_OPEN)
        query = query.order_by(_event.c.xact.desc())
    row = sql.execute(query.order_by(_event.c.id.desc()).limit(1)).first()
    return (0, 0) if row is None else (row.xact, row.id)
