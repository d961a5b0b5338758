"""Both engines for every test that asks for a `world` or a `db`: `[sqlite]` and `[postgres]`."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from hypothesis import settings

from service.store import migrate
from service.store.tables import TABLES
from tests.postgres import postgres
from tests.world import Engine, World

ENGINES = ("sqlite", "postgres")

settings.register_profile("callsheet", deadline=None)  # no test depends on how fast the machine is
settings.load_profile("callsheet")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One server, migrated once; each test finds its tables empty."""
    with postgres() as url:
        asyncio.run(migrate.to_head_postgres(url))
        yield url


@pytest.fixture(scope="session", autouse=True)
def told_once() -> Iterator[None]:
    """What our arrays and rows are made of is asked once for each database, not on each connection of each test: it is about
    half of what those cost. Behind a pooler everybody asks, since it is asking that could go wrong there."""
    told: dict[Any, Any] = {}
    ask = asyncpg.Connection._introspect_types

    async def introspect(self: Any, kinds: Any, timeout: Any) -> Any:
        if not self._stmt_cache_enabled:
            return await ask(self, kinds, timeout)
        which = (self._addr, self._params.database, frozenset(kinds))
        if which not in told:
            told[which], _ = await ask(self, kinds, timeout)
        return told[which], SimpleNamespace(name="told before")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "_introspect_types", introspect)
        yield


@pytest.fixture(scope="session")
def fresh_postgres(postgres_url: str) -> Iterator[Callable[[], Engine]]:
    """Always emptied over the same connection: a new one takes ten times as long, most of it to learn what there is."""
    with asyncio.Runner() as runner:
        sql = runner.run(asyncpg.connect(postgres_url))

        def fresh() -> Engine:
            nonlocal sql
            if sql.is_closed():  # a test may cut whoever is connected
                sql = runner.run(asyncpg.connect(postgres_url))
            runner.run(clear(sql))
            return Engine(postgres_url)

        yield fresh
        runner.run(sql.close())


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "callsheet.db"
    migrate.to_head_sqlite(str(path))
    return path


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "postgres":
        fresh: Callable[[], Engine] = request.getfixturevalue("fresh_postgres")
        return fresh()
    path = tmp_path / "callsheet.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return Engine(f"sqlite:///{path}")


SMALL_BYTES = 64 * 1024
"""A table of a few rows is emptied by DELETE in a tenth of the time of a TRUNCATE, which makes all its files anew. What it
leaves behind adds up, so that some later test finds the table large."""


async def empty(url: str) -> None:
    sql = await asyncpg.connect(url)
    try:
        await clear(sql)
    finally:
        await sql.close()


async def clear(sql: Any) -> None:
    # As text: what an array of names is made of would have to be asked first, which takes longer than all the rest.
    sizes = "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relname = ANY($1::text[])"
    used = {name: size for name, size in await sql.fetch(sizes, list(TABLES)) if size}
    words = [f"DELETE FROM {name}" for name, size in used.items() if size <= SMALL_BYTES]
    if large := [name for name, size in used.items() if size > SMALL_BYTES]:
        words.append("TRUNCATE " + ", ".join(large))
    if words:
        await sql.execute("; ".join(words))


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with World(engine) as world:
        yield world
