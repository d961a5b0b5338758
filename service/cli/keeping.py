"""Backups of an embedded database: made while the service runs, put back while it does not.

The service stays the only one that writes: a backup reads through a connection that can neither write nor checkpoint.
Absent on purpose: PostgreSQL's own tools, which do it better there.
"""

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from service.app import database
from service.cli.client import Trouble
from service.settings import Settings
from service.store import migrate, restored
from service.store.sqlite import check_file, lock_file


def back_up(settings: Settings, file: Path) -> int:
    """A copy of one moment, checked, its owner's alone; its size in bytes."""
    path = settings.sqlite_path
    if path is None:
        raise Trouble("PostgreSQL has its own tools", "use pg_dump --format=custom, or your provider's snapshots")
    if not Path(path).exists():
        raise Trouble(f"{path} is not there", "is CALLSHEET_DATABASE_URL the service's?")
    check_file(path)
    if file.exists():
        raise Trouble(f"{file} is there already", "a backup is never written over; name another file")
    fresh = file.with_name(f"{file.name}.unfinished")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(_reading(path)) as source, closing(sqlite3.connect(fresh)) as copy:
            source.backup(copy)  # in one step: one moment, and the writer goes on meanwhile
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, with no log beside it
        _sound(fresh)
        _durable(fresh)
        fresh.rename(file)
        _durable(file.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return file.stat().st_size


def put_back(settings: Settings, file: Path | None, replace: bool) -> int:
    """How many waiting orders are held from now on."""
    path = settings.sqlite_path
    if path is None and file is not None:
        raise Trouble("PostgreSQL has its own tools", "use pg_restore; then run `callsheet restore` without a file")
    if path is not None and file is None:
        raise Trouble("the backup is missing", "name the file that `callsheet backup` made")
    if path is not None and file is not None:
        _replaced(path, file, replace)
        migrate.to_head_sqlite(path)
    return asyncio.run(_hold(settings))


def _replaced(path: str, file: Path, replace: bool) -> None:
    check_file(str(file))
    _sound(file)
    lock = lock_file(path)  # refuses while the service runs
    try:
        if Path(path).stat().st_size > 0 and not replace:
            raise Trouble(f"{path} holds a database", "keep a copy of it, and say --replace")
        fresh = Path(f"{path}.unfinished")
        shutil.copyfile(file, fresh)
        fresh.chmod(0o600)
        _durable(fresh)
        for log in ("-wal", "-shm"):  # of the one that goes: beside another file they would be its ruin
            Path(f"{path}{log}").unlink(missing_ok=True)
        fresh.rename(path)
        _durable(Path(path).parent)
    finally:
        os.close(lock)


async def _hold(settings: Settings) -> int:
    db = database(settings)
    await db.start()
    try:
        if settings.sqlite_path is None:
            await migrate.require_head(db)
        return await db.write(restored.hold_waiting)
    finally:
        await db.stop()


def _reading(path: str | Path) -> sqlite3.Connection:
    sql = sqlite3.connect(f"file:{quote(str(Path(path).absolute()))}?mode=ro", uri=True)
    for pragma in ("query_only=ON", "wal_autocheckpoint=0", "mmap_size=0", "busy_timeout=5000"):
        sql.execute(f"PRAGMA {pragma}")
    return sql


def _sound(file: Path) -> None:
    """Not a byte of it is taken on trust."""
    try:
        with closing(_reading(file)) as sql:
            [found] = sql.execute("PRAGMA integrity_check(1)").fetchone()
            known = sql.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise Trouble(f"{file} is no sound backup", str(error)) from None
    if found != "ok":
        raise Trouble(f"{file} is no sound backup", found)
    if known is None or known[0] > migrate.head():
        raise Trouble(f"{file} is of a newer version", f"its schema is {known and known[0]}, this version's {migrate.head()}")


def _durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
