"""`callsheet doctor --audit`: the invariants, held against every row there is. Reads only.

An SQLite file is opened `mode=ro` beside the service that holds it: such a connection can neither write nor checkpoint,
and each page is one moment of the file. PostgreSQL is read page by page in read-only transactions.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, pool

from service.app import clock_ms, database
from service.cli.client import Trouble
from service.domain.audit import View
from service.settings import Settings, load
from service.signing import Seal
from service.store import migrate
from service.store.audit import Audited, Read, audit
from service.store.database import translated

PROGRESS_S = 2.0


def run(env: Mapping[str, str], running: bool, note: Callable[[str], None]) -> Audited:
    """`running`: a service works on it, so that what is due gets done. Raises Trouble when there is nothing to look at."""
    return asyncio.run(_run(load(env, make_keys=False), running, note))


async def _run(settings: Settings, running: bool, note: Callable[[str], None]) -> Audited:
    read, close = reader(settings)
    try:
        at, head = await read(migrate.current), migrate.head()
        if at != head:
            raise Trouble(
                "The database cannot be audited", f"its schema is at {at}, this version knows {head}; run: callsheet migrate"
            )
        seal = Seal(settings.encryption_keys)
        secrets = (*settings.signing_keys, *settings.encryption_keys, settings.admin_key)

        def view() -> View:
            return View(clock_ms(), settings.keep, running, opens=seal.opens, secrets=secrets)

        return await audit(read, view, _progress(note))
    finally:
        await close()


def reader(settings: Settings) -> tuple[Read, Callable[[], Awaitable[None]]]:
    """Reads in transactions of their own, and closes. Raises Trouble where there is nothing to read."""
    return _postgres(settings) if settings.sqlite_path is None else _sqlite(settings.sqlite_path)


def _sqlite(path: str) -> tuple[Read, Callable[[], Awaitable[None]]]:
    if not Path(path).exists():
        raise Trouble("There is no database yet", f"{path}: the first `callsheet serve` makes it")
    engine = create_engine(f"sqlite:///file:{quote(path)}?mode=ro&uri=true", poolclass=pool.StaticPool, hide_parameters=True)

    async def read(look: Callable[[Connection], Any]) -> Any:
        try:
            with engine.connect() as sql:
                sql.exec_driver_sql("BEGIN")  # all of a page as of one moment
                return look(sql)
        except Exception as error:
            raise translated(error) from error

    async def close() -> None:
        engine.dispose()

    return read, close


def _postgres(settings: Settings) -> tuple[Read, Callable[[], Awaitable[None]]]:
    db = database(settings)
    return db.read, db.stop


def _progress(note: Callable[[str], None]) -> Callable[[Audited], None]:
    told_at = time.monotonic()

    def progress(done: Audited) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= PROGRESS_S:
            told_at = time.monotonic()
            note(f"looked at {done.tasks} tasks, {done.deliveries} deliveries; {len(done.breaches)} breaches")

    return progress
