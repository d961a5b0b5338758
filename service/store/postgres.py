"""The engine for more than one process or machine: asyncpg, and a share of the connections for groups, writes and reads.

The statements are the same synchronous Core statements as on SQLite, run through SQLAlchemy's greenlet bridge. A batch
that loses a race for locks is tried again; the order of locks makes that rare. However many readers wait for their rows,
a callback is committed by a connection that none of them can have.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.bells import Bell, Watch
from service.domain.errors import Unavailable
from service.domain.ids import Ids
from service.store.clock import EVERY_S, Following
from service.store.database import Answer, Tx, Verb, run_inside, translated
from service.store.grouping import Group
from service.store.hints import Hints

GROUPS = 2
"""Group transactions under way at once: while one waits for the disk, the other is filled."""
BATCH = 128
"""Operations in one transaction: what has to be computed for them runs on the loop, and whoever comes meanwhile waits."""
WRITERS = 4
"""Connections for claims and other writes."""
READERS = 6
POOL_S = 10
"""Waiting for a free connection; longer means that the server does not keep up."""
STATEMENT_S = 30
RETRIES = 3
"""Of a transaction that lost a race for locks (40001, 40P01)."""

SESSION = {
    "application_name": "callsheet",
    "jit": "off",  # statements are short: compiling one costs more than running it
    "synchronous_commit": "on",
    "statement_timeout": "40000",  # we give up before; this is for a client that is gone
    "lock_timeout": "15000",  # whoever waits longer is told to come again
    "idle_in_transaction_session_timeout": "20000",  # a process that was stopped in mid-sentence holds locks no longer
}
"""Behind a pooler these are the role's to set (`ALTER ROLE … SET …`): it would refuse them or forget them."""

NAMELESS: Mapping[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": lambda: "",
}
"""A statement that has a name is known to one server connection only."""


class Postgres:
    shared = True

    def __init__(self, url: str, ids: Ids, clock: Callable[[], int], groups: int = GROUPS, pooled: bool = False) -> None:
        """A clock that is `Following` is set by the database; any other rules by itself."""
        self.ids, self.clock = ids, clock
        self._url, self._pooled = url, pooled
        size = groups + WRITERS + READERS
        self.engine = connecting(url, pooled, pool_size=size, max_overflow=0, pool_timeout=POOL_S)
        self._writing, self._reading = asyncio.Semaphore(WRITERS), asyncio.Semaphore(READERS)
        self._group = Group([self._commit] * groups, batch_limit=BATCH)
        self._time: asyncio.Task[None] | None = None
        self._hints: Hints | None = None

    async def start(self) -> None:
        if isinstance(self.clock, Following):
            await self._look_at_the_clock(self.clock)
            self._time = asyncio.create_task(self._keep_time(self.clock), name="database clock")
        self._group.start()

    async def stop(self) -> None:
        await self._group.stop()
        if self._hints is not None:
            await self._hints.stop()
        if self._time is not None:
            self._time.cancel()
            await asyncio.gather(self._time, return_exceptions=True)
        await self.engine.dispose()

    def carry(self, bells: Mapping[str, Bell], watch: Watch[Any]) -> Hints | None:
        """From now on what is rung here is heard by the other processes, and the other way round. None: a pooler is between,
        through which nobody hears; everybody polls."""
        if not self._pooled:
            quick = {"synchronous_commit": "off", "application_name": "callsheet hints"}
            self._hints = Hints(connecting(self._url, False, quick, poolclass=NullPool), bells, watch)
            self._hints.start()
        return self._hints

    @property
    def waiting(self) -> int:
        return self._group.waiting

    @property
    def crowded(self) -> bool:
        return self._group.crowded

    def group(
        self, verb: Verb, context: Any, item: Any, within_s: float | None = None, short: bool = True
    ) -> asyncio.Future[Any]:
        return self._group.do(verb, context, item, within_s, short)

    async def write(self, act: Callable[[Tx], Answer], short: bool = False) -> Answer:
        try:
            async with _turn(self._writing):
                try:
                    return await self._commit(act)
                except IntegrityError:
                    return await self._commit(
                        act
                    )  # somebody else's row came first: now it can be seen, and names are drawn anew
        except Exception as error:
            raise translated(error) from error

    async def read(self, look: Callable[[Connection], Answer]) -> Answer:
        try:
            async with _turn(self._reading), self.engine.connect() as connection:
                return await connection.run_sync(look)
        except Exception as error:
            raise translated(error) from error

    async def _commit(self, act: Callable[[Tx], Answer], _short: bool = False) -> Answer:
        for attempt in range(RETRIES + 1):
            try:
                async with self.engine.begin() as connection:
                    return await connection.run_sync(lambda sql: run_inside(act, Tx(sql, self.ids, self.clock())))
            except DBAPIError as error:
                if attempt == RETRIES or getattr(error.orig, "sqlstate", None) not in ("40001", "40P01"):
                    raise
                await asyncio.sleep(0)
        raise AssertionError("unreachable")

    async def _keep_time(self, clock: Following) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._look_at_the_clock(clock)
            except Unavailable:
                continue  # it goes on as it went

    async def _look_at_the_clock(self, clock: Following) -> None:
        def look(sql: Connection) -> tuple[int, int, int]:
            asked = clock.steady_ns()
            return asked, clock_us(sql), clock.steady_ns()

        clock.seen(*await self.read(look))


@asynccontextmanager
async def _turn(share: asyncio.Semaphore) -> AsyncIterator[None]:
    """Not longer than for a free connection."""
    if share.locked():
        async with asyncio.timeout(POOL_S):
            await share.acquire()
    else:
        await share.acquire()  # at once: a timer for nothing costs more
    try:
        yield
    finally:
        share.release()


def connecting(url: str, pooled: bool, session: Mapping[str, str] | None = None, **pool: Any) -> AsyncEngine:
    """`pooled`: behind a pooler that gives every transaction another server connection. Nothing may outlive a transaction
    there: statements have no names, and the session's settings are not ours."""
    own = dict(NAMELESS) if pooled else {"server_settings": {**SESSION, **(session or {})}}
    return create_async_engine(
        async_url(url),
        hide_parameters=True,  # rows hold orders and sealed secrets; errors are logged
        connect_args={"timeout": 10, "command_timeout": STATEMENT_S, **own},
        **pool,
    )


def async_url(url: str) -> str:
    head, _, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}" if head.split("+")[0] in ("postgresql", "postgres") else url


def clock_us(sql: Connection) -> int:
    """The database's own clock."""
    return int(sql.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")).scalar_one())
