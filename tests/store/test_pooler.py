"""Behind a pooler that knows transactions only: no statement, setting or lock outlives one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from service.domain.ids import Ids
from service.store import migrate
from service.store.postgres import Postgres, async_url, connecting
from tests.conftest import empty
from tests.pooler import SERVERS, Pooler, pooling
from tests.store.conftest import clock, named, write_words
from tests.world import Engine, World

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Pooled(Engine):
    def open(self, clock: Callable[[], int], seed: int) -> Postgres:
        return Postgres(self.url, Ids(clock, lambda: seed % 97 / 97), clock, pooled=True)


@pytest.fixture
async def pooled(postgres_url: str) -> AsyncIterator[tuple[str, Pooler]]:
    await empty(postgres_url)
    async with pooling(postgres_url) as found:
        yield found


async def test_an_order_goes_its_whole_way(pooled: tuple[str, Pooler]) -> None:
    url, pooler = pooled
    async with World(Pooled(url)) as world:
        await world.subscribe()
        task = await world.submit()
        for status in ("running", "succeeded"):
            assert await world.callback(status) == 200
        await world.deliver()
        assert world.heard() == ["task.queued", "task.running", "task.succeeded"]
        assert (await world.task(task.id)).sequence == 3
    assert pooler.transactions > 10


async def test_more_connections_than_the_pooler_has_take_turns(pooled: tuple[str, Pooler]) -> None:
    """Each with the same statements, which a session would have prepared under the same names."""
    many = [Postgres(pooled[0], named(seed), clock, pooled=True) for seed in range(SERVERS * 2)]
    for db in many:
        await db.start()
    words = [f"{i}.{j}" for i in range(len(many)) for j in range(20)]
    await asyncio.gather(*(many[i % len(many)].group(write_words, "p", word) for i, word in enumerate(words)))
    seen = await asyncio.gather(
        *(db.read(lambda sql: set(sql.execute(text("SELECT word FROM seen_word")).scalars())) for db in many)
    )
    assert seen == [set(words)] * len(many)
    for db in many:
        await db.stop()


async def test_a_release_step_goes_through_it(postgres_url: str) -> None:
    admin = create_async_engine(async_url(postgres_url), isolation_level="AUTOCOMMIT")
    async with admin.connect() as sql:
        await sql.execute(text("CREATE DATABASE pooled"))
    async with pooling(postgres_url.rsplit("/", 1)[0] + "/pooled") as (url, _):
        await migrate.to_head_postgres(url, pooled=True)
        assert await migrate.at_postgres(url, pooled=True) == migrate.head()
    async with admin.connect() as sql:
        await sql.execute(text("DROP DATABASE pooled WITH (FORCE)"))
    await admin.dispose()


async def test_without_the_setting_the_pooler_says_what_it_does_not_know(pooled: tuple[str, Pooler]) -> None:
    engine = connecting(pooled[0], pooled=False)
    with pytest.raises(DBAPIError, match="unsupported startup parameter"):
        await engine.connect()
    await engine.dispose()
