"""The embedded engine: one process, one writing connection on its own thread, WAL, `synchronous=FULL`.

SQLite 3.7.0–3.51.2 can corrupt a WAL database when two connections write or checkpoint at once. So exactly one
connection writes and checkpoints, readers are `query_only` and never checkpoint, a lock on a file beside the database
refuses a second process, and there is no mmap.
"""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Transaction, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from service.domain.errors import ConfigError, Fault
from service.domain.ids import Ids
from service.store.compiled import run
from service.store.database import Answer, Tx, Verb, run_inside, translated
from service.store.grouping import Group

READERS = 4
"""Reading connections: reads are short, and the GIL allows no more at once."""
BUSY_MS = 5_000
"""Only a backup tool can hold a lock against us; longer than this is an error."""
PAUSE_S = 0.01
"""Between two looks whether it is gone."""
WAITED_S = 0.2
"""Of one batch's statements, for pages that were not in memory."""
ELSEWHERE_S = 10.0
"""So long after that, statements run in the thread: the loop has others to serve."""
CHECKPOINT_PAGES = 2_000
"""About 8 MB of WAL between checkpoints."""
JOURNAL_LIMIT = 64 * 1024 * 1024


class Inline(Executor):
    """Runs everything at once on the calling thread: the simulation's engine, with no thread to be undetermined."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class SQLite:
    shared = False

    def __init__(self, path: str, ids: Ids, clock: Callable[[], int], inline: bool = False) -> None:
        """`path` is a file, or `:memory:` with `inline` for the simulation."""
        self.ids = ids
        self.path = path
        self.clock, self._inline = clock, inline
        self._memory = path == ":memory:"
        assert inline or not self._memory, "an in-memory database has one connection, so it is inline"
        self._lock: int | None = None
        self.engine = _engine(path, reading=False, memory=self._memory)
        self._reader = self.engine if self._memory else _engine(path, reading=True, memory=False)
        self._writer: Executor = Inline() if inline else ThreadPoolExecutor(1, "sqlite-writer")
        self._readers: Executor = Inline() if inline else ThreadPoolExecutor(READERS, "sqlite-reader")
        self._sql: Connection | None = None
        self._elsewhere_until = 0.0
        self._group = Group([self._commit], apart=not inline)

    def hold(self) -> None:
        """Keep every other process out; before anything touches the file."""
        if self._lock is None and not self._memory:
            check_file(self.path)
            self._lock = lock_file(self.path)

    async def start(self) -> None:
        self.hold()
        self._sql = await self._on(self._writer, self.engine.connect)
        self._group.start()

    async def stop(self) -> None:
        await self._group.stop()
        self._readers.shutdown()
        self._reader.dispose()  # before the writer: whoever closes last checkpoints
        if self._sql is not None:
            await self._on(self._writer, self._sql.close)
        self._writer.shutdown()
        self.engine.dispose()
        if self._lock is not None:
            os.close(self._lock)

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
        """On one connection a transaction of its own gains nothing: it shares the next commit, and fails alone."""
        answer: Answer = await self._group.do(_single, act, None, short=short)
        return answer

    async def read(self, look: Callable[[Connection], Answer]) -> Answer:
        try:
            return await self._on(self._readers, self._look, look)
        except Exception as error:
            raise translated(error) from error

    async def _commit(self, act: Callable[[Tx], Any], short: bool) -> Any:
        """Short ones run on the loop and leave the thread what waits for the disk, the commit: two threads that take the
        interpreter from each other at every statement need half as much again for both."""
        if not short or self._inline or time.monotonic() < self._elsewhere_until:
            return await self._on(self._writer, self._transact, act)
        assert self._sql is not None, "start() first"
        try:
            open_transaction = self._sql.begin()
        except OperationalError as error:
            if not _locked(error):
                raise
            return await self._on(self._writer, self._transact, act)
        waited_s = time.thread_time() - time.monotonic()
        try:
            answer = run_inside(act, Tx(self._sql, self.ids, self.clock()))
        except BaseException:
            open_transaction.rollback()
            raise
        waited_s += time.monotonic() - time.thread_time()
        if waited_s > WAITED_S:
            self._elsewhere_until = time.monotonic() + ELSEWHERE_S
        await self._on(self._writer, _end, open_transaction)
        return answer

    def _transact(self, act: Callable[[Tx], Any]) -> Any:
        assert self._sql is not None, "start() first"
        with self._begin_patiently(self._sql):
            return run_inside(act, Tx(self._sql, self.ids, self.clock()))

    def _begin_patiently(self, sql: Connection) -> Transaction:
        give_up = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                return sql.begin()
            except OperationalError as error:
                if not _locked(error) or time.monotonic() > give_up:
                    raise
            time.sleep(PAUSE_S)

    def _look(self, look: Callable[[Connection], Answer]) -> Answer:
        if self._memory:
            assert self._sql is not None
            with self._sql.begin():
                return look(self._sql)
        with self._reader.connect() as sql, sql.begin():  # one snapshot for all statements of a look
            return look(sql)

    async def _on(self, executor: Executor, act: Callable[..., Answer], *args: Any) -> Answer:
        if self._inline:
            return act(*args)
        return await asyncio.get_running_loop().run_in_executor(executor, act, *args)


def _locked(error: OperationalError) -> bool:
    return isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _end(transaction: Transaction) -> None:
    with transaction:  # rolls back what cannot be committed
        pass


def _single(tx: Tx, act: Callable[[Tx], Any], items: Any) -> list[Any]:
    return [act(tx) for _ in items]


HEAD = b"SQLite format 3\0"
"""Of every file of SQLite's that is not empty."""


def check_file(path: str) -> None:
    """Before anything is written beside it."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(HEAD))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(f"{path} cannot be read ({error.strerror}): name a file that this user may write") from None
    if head not in (b"", HEAD):
        raise _unusable(f"{path} is not an SQLite database: name another file, or put a backup in its place")


def lock_file(path: str) -> int:
    """Held for the life of the process; the kernel lets go when it dies, however it dies."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # prompts and results are its owner's; WAL and index follow it
    except OSError as error:
        raise _unusable(f"{path} cannot be written ({error.strerror}): name a file that this user may write") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise _unusable(
            f"another process has {path} open. SQLite holds one process; stop it, or use PostgreSQL for more than one"
        ) from None
    return handle


def _unusable(why: str) -> ConfigError:
    return ConfigError([Fault("CALLSHEET_DATABASE_URL", why)])


def _engine(path: str, reading: bool, memory: bool) -> Engine:
    pool: dict[str, Any] = {"poolclass": StaticPool if memory else QueuePool if reading else NullPool}
    if reading:
        pool |= {"pool_size": READERS, "max_overflow": 0}
    engine = create_engine(
        f"sqlite:///{path}", hide_parameters=True, connect_args={"check_same_thread": False, "cached_statements": 256}, **pool
    )

    @event.listens_for(engine, "connect")
    def _open(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours, below
        waits_ms = BUSY_MS if reading else 0  # the writer waits where it holds up nobody
        pragmas = [f"busy_timeout={waits_ms}", "foreign_keys=OFF", "mmap_size=0", "temp_store=MEMORY", "cache_size=-32768"]
        if not memory and not reading:
            pragmas += [
                "journal_mode=WAL",
                "synchronous=FULL",
                f"wal_autocheckpoint={CHECKPOINT_PAGES}",
                f"journal_size_limit={JOURNAL_LIMIT}",
            ]
        if reading:
            pragmas += ["wal_autocheckpoint=0", "query_only=ON"]
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(sql: Connection) -> None:
        try:
            run(sql, "BEGIN" if reading else "BEGIN IMMEDIATE", ())
        except DBAPIError:
            sql.connection.rollback()  # one that fails halfway leaves its transaction open
            raise

    return engine
