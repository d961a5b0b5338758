"""What the doctor finds out about the database: whether it can be read, its schema, its clock, and what no key opens."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from service.app import clock_ms, database
from service.cli.check import FINE, NOTE, WRONG, Check
from service.cli.seals import closed
from service.cli.verb import told
from service.domain.errors import ConfigError
from service.settings import Settings
from service.store import migrate
from service.store.postgres import Postgres, clock_us
from service.store.sqlite import lock_file

MENDED = (3, 51, 3)
"""The first SQLite without the fault that two connections which write or checkpoint at once can corrupt a WAL database."""
SKEW_NOTE_MS, SKEW_WRONG_MS = 1_000, 10_000
"""Every process goes by the database's clock. If that is the wrong one of the two, subscribers who check the age of a
signature refuse notices, mostly from five minutes on."""


def of_database(settings: Settings, running: bool) -> Iterator[Check]:
    if settings.sqlite_path is not None:
        yield from _sqlite(settings.sqlite_path, running)
        return
    try:
        at, skew_ms = asyncio.run(_postgres(settings))
    except Exception as error:  # whatever it is, the examination goes on and tells it
        yield Check("database", WRONG, " ".join(told(error).lines()), "is it running, and is CALLSHEET_DATABASE_URL right?")
        return
    yield _schema("PostgreSQL", at)
    verdict = WRONG if skew_ms > SKEW_WRONG_MS else NOTE if skew_ms > SKEW_NOTE_MS else FINE
    yield Check(
        "clock", verdict, f"{skew_ms} ms off the database's", "" if verdict == FINE else "the database's counts: let NTP set it"
    )


async def _postgres(settings: Settings) -> tuple[str | None, int]:
    db = database(settings)
    assert isinstance(db, Postgres)
    try:
        at = await db.read(migrate.current)
        before = clock_ms()
        theirs = await db.read(clock_us) // 1_000
        return at, abs(theirs - (before + clock_ms()) // 2)
    finally:
        await db.engine.dispose()


def _sqlite(path: str, running: bool) -> Iterator[Check]:
    if not Path(path).exists():
        yield Check("database", NOTE, f"{path} is not there yet", "the first `callsheet serve` makes it")
    elif held(path):
        found = f"SQLite, {path}, held by a running process"
        advice = "" if running else "but nobody answers at its address: are HOST and PORT the ones it was started with?"
        yield Check("database", FINE if running else NOTE, found, advice)
    else:
        try:
            yield _schema(f"SQLite, {path}", migrate.at_sqlite(path))
        except Exception as error:  # as above
            yield Check("database", WRONG, f"{path}: {told(error).lines()[0]}", "is it an SQLite file that may be read?")
    if sqlite3.sqlite_version_info < MENDED:
        yield Check(
            "sqlite",
            NOTE,
            f"{sqlite3.sqlite_version}: two connections that write or checkpoint at once can corrupt the file",
            "Callsheet itself never does; let no other tool open it while it runs",
        )
    else:
        yield Check("sqlite", FINE, sqlite3.sqlite_version)
    newest_s = max((p.stat().st_mtime for p in (Path(path), Path(f"{path}-wal")) if p.exists()), default=0.0)
    if newest_s > time.time() + 60:
        yield Check("clock", WRONG, "is behind the last write to the database", "it went back: let NTP set it")


def held(path: str) -> bool:
    if not Path(f"{path}.lock").exists():
        return False
    try:
        os.close(lock_file(path))
    except ConfigError:
        return True
    return False


def _schema(where: str, at: str | None) -> Check:
    head = migrate.head()
    if at == head:
        return Check("database", FINE, f"{where}, schema at the head ({head})")
    return Check("database", WRONG, f"{where}, schema at {at}; this version needs {head}", "run: callsheet migrate")


def of_seals(settings: Settings) -> Iterator[Check]:
    """Read beside whoever holds the database, as an audit does."""
    try:
        shut = asyncio.run(closed(settings))
    except Exception as error:  # as above
        yield Check("encryption", NOTE, f"could not be looked at: {told(error).lines()[0]}", "try again while nothing runs")
        return
    if shut:
        advice = "put back the key that sealed it (CALLSHEET_ENCRYPTION_KEYS); what it is to be told waits, and is not lost"
        yield Check("encryption", WRONG, f"no key opens {shut}", advice)
    else:
        yield Check("encryption", FINE, "every address and secret can be opened")
