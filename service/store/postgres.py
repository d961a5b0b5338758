"""The engine for more than one process or machine: asyncpg, two connections for the groups, a small pool for the rest.

The statements are the same synchronous Core statements as on SQLite, run through SQLAlchemy's greenlet bridge. A batch
that loses a race for locks is tried again; the order of locks makes that rare.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.domain.ids import Ids
from service.store.database import Answer, Tx, Verb, run_inside, translated
from service.store.grouping import Group

GROUPS = 2
"""Group transactions under way at once: while one waits for the disk, the other is filled."""
POOL = 8
POOL_S = 10
"""Waiting for a free connection; longer means that the server does not keep up."""
STATEMENT_S = 30
RETRIES = 3
"""Of a transaction that lost a race for locks (40001, 40P01)."""


class Postgres:
    def __init__(self, url: str, ids: Ids, clock_ms: Callable[[], int], groups: int = GROUPS) -> None:
        self.ids = ids
        self._clock_ms = clock_ms
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=POOL + groups,
            max_overflow=0,
            pool_timeout=POOL_S,
            pool_pre_ping=False,
            hide_parameters=True,  # rows hold orders and sealed secrets; errors are logged
            connect_args={
                "timeout": 10,
                "command_timeout": STATEMENT_S,
                "server_settings": {
                    "application_name": "callsheet",
                    "jit": "off",
                    "idle_in_transaction_session_timeout": "60000",
                    "synchronous_commit": "on",
                },
            },
        )
        self._group = Group([self._commit] * groups)

    async def start(self) -> None:
        self._group.start()

    async def stop(self) -> None:
        await self._group.stop()
        await self.engine.dispose()

    @property
    def waiting(self) -> int:
        return self._group.waiting

    @property
    def crowded(self) -> bool:
        return self._group.crowded

    async def group(self, verb: Verb, context: Any, item: Any, within_s: float | None = None) -> Any:
        return await self._group.do(verb, context, item, within_s)

    async def write(self, act: Callable[[Tx], Answer]) -> Answer:
        try:
            try:
                return await self._commit(act)
            except IntegrityError:
                return await self._commit(act)  # somebody else's row came first: now it can be seen, and names are drawn anew
        except Exception as error:
            raise translated(error) from error

    async def read(self, look: Callable[[Connection], Answer]) -> Answer:
        try:
            async with self.engine.connect() as connection:
                return await connection.run_sync(look)
        except Exception as error:
            raise translated(error) from error

    async def _commit(self, act: Callable[[Tx], Answer]) -> Answer:
        for attempt in range(RETRIES + 1):
            try:
                async with self.engine.begin() as connection:
                    return await connection.run_sync(lambda sql: run_inside(act, Tx(sql, self.ids, self._clock_ms())))
            except DBAPIError as error:
                if attempt == RETRIES or getattr(error.orig, "sqlstate", None) not in ("40001", "40P01"):
                    raise
                await asyncio.sleep(0)
        raise AssertionError("unreachable")


def async_url(url: str) -> str:
    head, _, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}" if head.split("+")[0] in ("postgresql", "postgres") else url


async def database_ms(engine: AsyncEngine) -> int:
    """The database's own clock."""
    async with engine.connect() as connection:
        return int(
            (await connection.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"))).scalar_one()
        )
