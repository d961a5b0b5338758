"""Both engines for every test that asks for a `world` or a `db`: `[sqlite]` and `[postgres]`."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from service.store import migrate
from service.store.postgres import async_url
from service.store.tables import TABLES
from tests.postgres import postgres
from tests.world import Engine, World

ENGINES = ("sqlite", "postgres")


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


async def empty(url: str) -> None:
    admin = create_async_engine(async_url(url))
    async with admin.begin() as sql:
        await sql.execute(text("TRUNCATE " + ", ".join(TABLES)))
    await admin.dispose()


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    async with World(engine) as world:
        yield world
