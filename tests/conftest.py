"""Both engines for every test that asks for a `world` or a `db`: `[sqlite]` and `[postgres]`."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

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
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One server, migrated once; each test finds its tables empty."""
    with postgres() as url:
        asyncio.run(migrate.to_head_postgres(url))
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "callsheet.db"
    migrate.to_head_sqlite(str(path))
    return path


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        asyncio.run(empty(url))
        return Engine(url)
    path = tmp_path / "callsheet.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return Engine(f"sqlite:///{path}")


SMALL_BYTES = 64 * 1024
"""A table of a few rows is emptied by DELETE in a tenth of the time of a TRUNCATE, which makes all its files anew. What it
leaves behind adds up, so that some later test finds the table large."""


async def empty(url: str) -> None:
    sizes = "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relname = ANY($1)"
    sql = await asyncpg.connect(url)
    try:
        used = {name: size for name, size in await sql.fetch(sizes, list(TABLES)) if size}
        words = [f"DELETE FROM {name}" for name, size in used.items() if size <= SMALL_BYTES]
        if large := [name for name, size in used.items() if size > SMALL_BYTES]:
            words.append("TRUNCATE " + ", ".join(large))
        if words:
            await sql.execute("; ".join(words))
    finally:
        await sql.close()


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with World(engine) as world:
        yield world
