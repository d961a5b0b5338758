"""A database with things in it, and the environment that a served product finds it by."""

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import random

from service.app import prepare
from service.domain.ids import Ids
from service.signing import CallbackTokens
from service.store import migrate
from service.store.database import Database
from service.store.postgres import Postgres
from service.store.sqlite import SQLite
from tests.postgres import postgres

KEYS = {
    "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-thirty-two-chars",
    "CALLSHEET_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "CALLSHEET_ADMIN_KEY": "csa_the-operators-own-key",
    "CALLSHEET_ARK_API_KEY": "a-provider-key",
    "CALLSHEET_EGRESS_ALLOW": "127.0.0.0/8",
}


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def database_url(engine: str, durable: bool = True) -> Iterator[str]:
    """A durable one: fsync on, as it ships. Where no commit is measured, PostgreSQL's need not be."""
    if engine == "postgres":
        with postgres(durable) as url:
            yield url
    else:
        with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as folder:
            yield f"sqlite:///{folder}/callsheet.db"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Migrated and open, to fill it; closed again before the product is served on it."""
    names = Ids(clock_ms, random)
    db: Database
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        migrate.to_head_sqlite(path)
        db = SQLite(path, names, clock_ms)
    else:
        await migrate.to_head_postgres(url)
        db = Postgres(url, names, clock_ms)
    await db.start()
    try:
        yield db
    finally:
        await db.stop()


def tokens() -> CallbackTokens:
    return CallbackTokens([KEYS["CALLSHEET_SIGNING_KEYS"]], clock_ms)


__all__ = ["KEYS", "clock_ms", "database_url", "opened", "prepare", "tokens"]
