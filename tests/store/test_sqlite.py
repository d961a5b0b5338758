"""The embedded engine: durable as promised, one writer, one process, and honest when the disk or a lock is in the way."""

import asyncio
import random
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection

from service.domain.errors import ConfigError, Unavailable
from service.domain.ids import Ids
from service.store import sqlite as engine_file
from service.store.database import Tx
from service.store.sqlite import SQLite, lock_file
from tests.store.conftest import clock, named, write_words

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "callsheet.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture
async def db(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SQLite]:
    monkeypatch.setattr(engine_file, "BUSY_MS", 30)  # a lock that is held is held for the whole test
    db = SQLite(str(path), named(7), clock)
    await db.start()
    yield db
    await db.stop()


def pragma(sql: Connection, name: str) -> Any:
    return sql.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def words(path: Path) -> set[str]:
    with sqlite3.connect(path) as outside:
        return {word for (word,) in outside.execute("SELECT word FROM seen_word")}


async def test_the_writer_is_durable_to_the_last_commit(db: SQLite) -> None:
    await db.group(write_words, "p", "one")
    said = await db.write(
        lambda tx: {n: pragma(tx.sql, n) for n in ("journal_mode", "synchronous", "mmap_size", "wal_autocheckpoint")}
    )
    assert said == {"journal_mode": "wal", "synchronous": 2, "mmap_size": 0, "wal_autocheckpoint": 2_000}


async def test_readers_cannot_write_and_never_checkpoint(db: SQLite) -> None:
    said = await db.read(lambda sql: {n: pragma(sql, n) for n in ("query_only", "wal_autocheckpoint", "mmap_size")})
    assert said == {"query_only": 1, "wal_autocheckpoint": 0, "mmap_size": 0}
    with pytest.raises(Exception, match="readonly"):
        await db.read(lambda sql: sql.exec_driver_sql("INSERT INTO pulse VALUES ('reader', 1)"))


async def test_a_reader_sees_one_moment_and_holds_up_no_writer(db: SQLite) -> None:
    await db.group(write_words, "p", "before")

    def count(sql: Connection) -> int:
        return int(sql.exec_driver_sql("SELECT count(*) FROM seen_word").scalar_one())

    def look(sql: Connection) -> tuple[int, int]:
        first = count(sql)
        with sqlite3.connect(db.path) as outside:
            outside.execute("INSERT INTO seen_word VALUES ('p', 'meanwhile', 1)")
        return first, count(sql)

    assert await db.read(look) == (1, 1)
    assert await db.read(count) == 2


async def test_a_second_process_is_refused_and_told_what_to_do(db: SQLite, path: Path) -> None:
    program = """
import sys
from service.domain.errors import ConfigError
from service.store.sqlite import lock_file
try:
    lock_file(sys.argv[1])
except ConfigError as error:
    sys.exit(str(error))
"""
    done = await anyio.run_process([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith("CALLSHEET_DATABASE_URL: another process has ")
    assert "use PostgreSQL" in said


async def test_a_second_database_object_is_refused_until_the_first_has_stopped(path: Path) -> None:
    first, second = (SQLite(str(path), named(seed), clock) for seed in (1, 2))
    await first.start()
    with pytest.raises(ConfigError, match="another process"):
        await second.start()
    await first.stop()
    await second.start()
    await second.stop()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"CALLSHEET_DATABASE_URL.* cannot be written \(Not a directory\)"):
        lock_file(str(tmp_path / "file" / "below" / "callsheet.db"))


async def test_a_clean_stop_leaves_one_file_without_a_log(path: Path) -> None:
    db = SQLite(str(path), named(1), clock)
    await db.start()
    await db.group(write_words, "p", "one")
    await db.read(lambda sql: sql.exec_driver_sql("SELECT 1").scalar_one())
    await db.stop()
    assert sorted(p.name for p in path.parent.iterdir()) == ["callsheet.db", "callsheet.db.lock"]
    assert words(path) == {"one"}


async def test_a_database_locked_by_somebody_else_is_unavailable_until_it_is_free(db: SQLite, path: Path) -> None:
    thief = sqlite3.connect(path, isolation_level=None)
    thief.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        await db.group(write_words, "p", "one")
    with pytest.raises(Unavailable, match="locked"):
        await db.write(lambda tx: write_words(tx, "p", ["two"]))
    thief.execute("ROLLBACK")
    thief.close()
    assert words(path) == set(), "nothing of it was stored"
    assert await db.group(write_words, "p", "three") == "three"
    assert words(path) == {"three"}


async def test_whoever_locks_the_file_holds_up_nobody_who_does_not_write(db: SQLite, path: Path) -> None:
    thief = sqlite3.connect(path, isolation_level=None)
    thief.execute("BEGIN IMMEDIATE")
    writing = asyncio.ensure_future(db.group(write_words, "p", "one"))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0)
        turns += 1
    thief.close()
    with pytest.raises(Unavailable, match="locked"):
        await writing
    assert turns > 10, "the loop went on"


async def test_short_statements_run_on_the_loop_until_the_disk_makes_them_wait(
    db: SQLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def threads(**how: bool) -> set[str]:
        def where(_tx: Tx, _context: None, items: Sequence[None]) -> list[str]:
            return [threading.current_thread().name for _ in items]

        return {await db.group(where, None, None, **how) for _ in range(3)}

    here, elsewhere = {threading.current_thread().name}, {"sqlite-writer_0"}
    assert await threads() == here
    assert await threads(short=False) == elsewhere
    assert {await db.write(lambda _: threading.current_thread().name)} == elsewhere, "nobody knows how long that takes"
    assert {await db.write(lambda _: threading.current_thread().name, short=True)} == here, "unless it is said"
    monkeypatch.setattr(engine_file, "WAITED_S", -1.0)  # whatever the disk did, it was too slow
    await threads()
    assert await threads() == elsewhere
    monkeypatch.setattr(db, "_elsewhere_until", 0.0)
    monkeypatch.setattr(engine_file, "WAITED_S", 10.0)
    assert await threads() == here, "for a while only"


async def test_a_full_disk_is_unavailable_and_stores_nothing_until_there_is_room(db: SQLite, path: Path) -> None:
    def limit(pages: int) -> Any:
        return lambda tx: tx.sql.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one()

    def page_count(tx: Tx) -> int:
        return int(pragma(tx.sql, "page_count"))

    await db.write(limit(await db.write(page_count) + 2))
    big = ["x" * 2_000 + str(i) for i in range(40)]
    for _ in range(3):
        with pytest.raises(Unavailable, match="full"):
            await db.write(lambda tx: write_words(tx, "p", big))
    assert words(path) == set()
    assert await db.read(lambda sql: sql.exec_driver_sql("SELECT count(*) FROM seen_word").scalar_one()) == 0, "reading goes on"
    await db.write(limit(1_000_000))
    await db.write(lambda tx: write_words(tx, "p", big))
    assert words(path) == set(big)
    with sqlite3.connect(path) as outside:
        assert outside.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_batch_that_meets_a_full_disk_fails_as_a_whole(db: SQLite, path: Path) -> None:
    count = await db.write(lambda tx: int(pragma(tx.sql, "page_count")))
    await db.write(lambda tx: tx.sql.exec_driver_sql(f"PRAGMA max_page_count={count + 2}").scalar_one())
    crowd = [db.group(write_words, "p", "x" * 2_000 + str(i)) for i in range(40)]
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    assert all(isinstance(a, Unavailable) for a in answers)
    assert words(path) == set()


async def test_the_database_of_the_simulation_is_the_same_engine_in_memory() -> None:
    db = SQLite(":memory:", Ids(clock, random.Random(1).random), clock, inline=True)
    await db.start()
    await db.write(lambda tx: tx.sql.exec_driver_sql("CREATE TABLE seen_word (provider, word PRIMARY KEY, at)"))
    assert await db.group(write_words, "p", "one") == "one"
    assert await db.read(lambda sql: sql.exec_driver_sql("SELECT word FROM seen_word").scalar_one()) == "one"
    await db.stop()


async def test_a_transaction_that_is_interrupted_at_any_step_leaves_none_open(db: SQLite) -> None:
    """A BEGIN that fails halfway did, once it was said past SQLAlchemy: every later transaction was refused, for ever."""
    assert db._sql is not None
    raw = db._sql.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    struck = 0
    for step in range(1, 40):
        left = iter((1,))
        raw.set_progress_handler(lambda left=left: next(left, 0), step)
        try:
            await db.write(lambda tx, step=step: write_words(tx, "ark", [f"struck at {step}"]))
        except Unavailable:
            struck += 1
        raw.set_progress_handler(None, 0)
        await db.write(lambda tx, step=step: write_words(tx, "ark", [f"after {step}"]))
    assert struck > 3
