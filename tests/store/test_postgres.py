"""The engine for more than one process: what happens when the server goes away, comes back, or keeps us waiting."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Connection

from service.domain.errors import Unavailable
from service.store import migrate, tasks
from service.store import postgres as engine_file
from service.store.postgres import Postgres, clock_us
from tests.postgres import Server, server
from tests.store.conftest import clock, named, write_words

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """One that may be stopped: nobody else uses it."""
    with server() as running:
        asyncio.run(migrate.to_head_postgres(running.url))
        yield running


@pytest.fixture
async def db(own_server: Server) -> AsyncIterator[Postgres]:
    db = Postgres(own_server.url, named(7), clock)
    await db.start()
    await db.write(lambda tx: tx.sql.exec_driver_sql("TRUNCATE seen_word"))
    yield db
    await db.stop()


async def words(server: Server) -> set[str]:
    sql = await asyncpg.connect(server.url)
    try:
        return {row["word"] for row in await sql.fetch("SELECT word FROM seen_word")}
    finally:
        await sql.close()


async def tried(db: Postgres, word: str) -> object:
    try:
        return await db.group(write_words, "p", word)
    except Exception as error:
        return error


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_stops_means_unavailable_and_one_that_is_back_means_normal(
    db: Postgres, own_server: Server, mode: str
) -> None:
    assert await tried(db, "before") == "before"
    own_server.stop(mode)  # type: ignore[arg-type]
    try:
        for i in range(3):
            assert isinstance(await tried(db, f"while away {i}"), Unavailable)
            with pytest.raises(Unavailable):
                await db.write(lambda tx: write_words(tx, "p", ["alone"]))
            with pytest.raises(Unavailable):
                await db.read(lambda sql: sql.exec_driver_sql("SELECT 1").scalar_one())
    finally:
        own_server.start()
    answers = [await tried(db, f"after {i}") for i in range(4)]
    assert all(isinstance(a, Unavailable | str) for a in answers), "never a surprise"
    assert answers[-2:] == ["after 2", "after 3"], "by itself, at once"
    stored = {a for a in answers if isinstance(a, str)}
    assert await words(own_server) == {"before", *stored}, "whoever was refused is not there"


async def test_one_connection_that_was_cut_tells_of_all_that_are_as_old(db: Postgres, own_server: Server) -> None:
    """Each of them would fail once for a caller of its own otherwise. What finds it out is one of the hot statements."""

    def look(sql: Connection) -> int:
        return len(tasks.by_ids(sql, [1])) + int(sql.exec_driver_sql("SELECT count(*) FROM pg_sleep(0.05)").scalar_one())

    await asyncio.gather(*(db.read(look) for _ in range(5)))
    assert db.engine.pool.checkedin() >= 5  # type: ignore[attr-defined]
    admin = await asyncpg.connect(own_server.url)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'callsheet'")
    await admin.close()
    answers = [await asyncio.gather(db.read(look), return_exceptions=True) for _ in range(5)]
    assert [isinstance(answer, Unavailable) for [answer] in answers] == [True, False, False, False, False]


async def test_backends_that_are_terminated_are_replaced(db: Postgres, own_server: Server) -> None:
    await asyncio.gather(*(tried(db, f"first {i}") for i in range(20)))
    admin = await asyncpg.connect(own_server.url)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'callsheet'")
    await admin.close()
    answers = [await tried(db, f"then {i}") for i in range(4)]
    assert all(isinstance(a, Unavailable | str) for a in answers)
    assert answers[-2:] == ["then 2", "then 3"]


async def test_a_server_that_has_no_room_for_us_means_unavailable(own_server: Server) -> None:
    admin = await asyncpg.connect(own_server.url)
    await admin.execute("ALTER ROLE postgres CONNECTION LIMIT 200")
    await admin.execute("CREATE ROLE cramped LOGIN CONNECTION LIMIT 0")
    db = Postgres(own_server.url.replace("postgres@", "cramped@"), named(8), clock)
    await db.start()
    assert isinstance(await tried(db, "no room"), Unavailable)
    with pytest.raises(Unavailable):
        await db.read(lambda sql: sql.exec_driver_sql("SELECT 1").scalar_one())
    await db.stop()
    await admin.execute("DROP ROLE cramped")
    await admin.close()


async def test_a_row_that_is_locked_for_too_long_means_unavailable(
    db: Postgres, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tried(db, "held")
    monkeypatch.setattr(engine_file, "STATEMENT_S", 0.2)
    hurried = Postgres(own_server.url, named(9), clock)
    await hurried.start()
    thief = await asyncpg.connect(own_server.url)
    transaction = thief.transaction()
    await transaction.start()
    await thief.execute("SELECT * FROM seen_word FOR UPDATE")

    def touch(tx: object, _: str, items: object) -> list[None]:
        tx.sql.exec_driver_sql("UPDATE seen_word SET at = at + 1")  # type: ignore[attr-defined]
        return [None]

    with pytest.raises(Unavailable):
        await hurried.group(touch, "p", None)
    await transaction.rollback()
    assert await hurried.group(touch, "p", None) is None
    await thief.close()
    await hurried.stop()


async def test_more_readers_than_connections_wait_and_then_are_told_to_come_again(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_file, "READERS", 1)
    monkeypatch.setattr(engine_file, "POOL_S", 0.1)
    db = Postgres(own_server.url, named(10), clock, groups=1)
    await db.start()
    slow = [db.read(lambda sql: sql.exec_driver_sql("SELECT pg_sleep(0.4)").scalar_one()) for _ in range(3)]
    answers = await asyncio.gather(*slow, return_exceptions=True)
    await db.stop()
    assert [isinstance(a, Unavailable) for a in answers].count(True) == 2
    assert sum(a is None for a in answers) == 1


async def test_every_commit_waits_for_the_disk(db: Postgres) -> None:
    assert await db.write(lambda tx: tx.sql.exec_driver_sql("SHOW synchronous_commit").scalar_one()) == "on"


async def test_the_clock_of_the_database_can_be_asked(db: Postgres) -> None:
    before = await db.read(clock_us)
    assert before <= await db.read(clock_us) < before + 60_000_000


async def test_readers_and_writers_in_crowds_keep_no_callback_waiting(own_server: Server) -> None:
    db = Postgres(own_server.url, named(11), clock)
    await db.start()
    slow = [db.read(lambda sql: sql.exec_driver_sql("SELECT pg_sleep(90)")) for _ in range(engine_file.READERS * 2)]
    slow += [db.write(lambda tx: tx.sql.exec_driver_sql("SELECT pg_sleep(90)")) for _ in range(engine_file.WRITERS * 2)]
    crowd = [asyncio.ensure_future(each) for each in slow]
    admin = await asyncpg.connect(own_server.url)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'callsheet' AND query = 'SELECT pg_sleep(90)'"
    async with asyncio.timeout(60):
        while await admin.fetchval(sleeping) < engine_file.READERS + engine_file.WRITERS:  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*(tried(db, f"through {i}") for i in range(50))) == [f"through {i}" for i in range(50)]
    assert not any(each.done() for each in crowd)
    for each in crowd:
        each.cancel()
    await admin.close()
    await asyncio.gather(*crowd, return_exceptions=True)
    await db.stop()


async def test_a_process_that_stops_in_mid_sentence_holds_its_locks_not_for_long(
    db: Postgres, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_file.SESSION, "idle_in_transaction_session_timeout", "200")
    await tried(db, "held")
    stopped = Postgres(own_server.url, named(12), clock)
    await stopped.start()
    async with stopped.engine.connect() as connection:
        await connection.exec_driver_sql("UPDATE seen_word SET at = at + 1")
        assert await db.write(lambda tx: tx.sql.exec_driver_sql("UPDATE seen_word SET at = at + 1").rowcount) == 1
        await connection.invalidate()
    await stopped.stop()
