"""A database of each engine by itself, and a witness who looks at it from outside."""

import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from service.domain.ids import Ids
from service.store.database import Database, Tx
from service.store.postgres import Postgres, async_url
from service.store.sqlite import SQLite
from tests.world import START_MS, Engine


def clock() -> int:
    return START_MS


def named(seed: int) -> Ids:
    return Ids(clock, random.Random(seed).random)


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    db = engine.open(clock, 7)
    await db.start()
    yield db
    await db.stop()


def write_words(tx: Tx, provider: str, words: Sequence[str]) -> list[str]:
    """The plainest verb there is: each item is a row under a primary key of its own."""
    rows = [{"provider": provider, "word": word, "at": tx.now} for word in words]
    tx.sql.execute(text("INSERT INTO seen_word (provider, word, at) VALUES (:provider, :word, :at)"), rows)
    return list(words)


@contextmanager
def transactions(db: Database) -> Iterator[list[str]]:
    """Every end of a transaction of this database, in order: `commit` or `rollback`."""
    ends: list[str] = []
    assert isinstance(db, SQLite | Postgres)
    target = db.engine if isinstance(db, SQLite) else db.engine.sync_engine

    def committed(_: Any) -> None:
        ends.append("commit")

    def rolled_back(_: Any) -> None:
        ends.append("rollback")

    event.listen(target, "commit", committed)
    event.listen(target, "rollback", rolled_back)
    try:
        yield ends
    finally:
        event.remove(target, "commit", committed)
        event.remove(target, "rollback", rolled_back)


Witness = Callable[[], Any]


@pytest.fixture
async def witness(engine: Engine) -> AsyncIterator[Witness]:
    """The words as a connection of somebody else sees them."""
    look = text("SELECT word FROM seen_word")
    if engine.url.startswith("sqlite"):
        outside = create_engine(engine.url)

        async def seen() -> set[str]:
            with outside.connect() as sql:
                return set(sql.execute(look).scalars())

        yield seen
        outside.dispose()
        return
    async_outside = create_async_engine(async_url(engine.url))

    async def seen_there() -> set[str]:
        async with async_outside.connect() as sql:
            return set((await sql.execute(look)).scalars())

    yield seen_there
    await async_outside.dispose()
