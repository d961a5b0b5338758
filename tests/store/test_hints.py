"""What one process rings, the others hear, at once; whoever hears nothing finds it all the same."""

import asyncio
import logging
from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped]
import pytest

from service.bells import Bell, Watch
from service.store import hints
from service.store.hints import Hints
from service.store.postgres import Postgres
from tests.store.conftest import clock, named
from tests.until import until

pytestmark = pytest.mark.anyio

WITHIN_S = 60.0


class Process:
    """The bells of one process, on a database of its own connections."""

    def __init__(self, url: str, seed: int) -> None:
        self.db = Postgres(url, named(seed), clock)
        self.bells = {"courier": Bell(), "happened": Bell()}
        self.watch = Watch[str]()
        self.hints: Hints | None = None

    async def begin(self) -> None:
        self.hints = self.db.carry(self.bells, self.watch)
        assert self.hints is not None
        await self.hints.listening.wait()
        for bell in self.bells.values():
            bell.clear()

    async def heard(self, name: str) -> None:
        await self.bells[name].wait()


@pytest.fixture
async def processes(postgres_url: str) -> AsyncIterator[list[Process]]:
    made = [Process(postgres_url, seed) for seed in range(3)]
    async with asyncio.timeout(WITHIN_S):
        for process in made:
            await process.begin()
        yield made
    for process in made:
        await process.db.stop()


async def cut(url: str) -> None:
    """As a restart of the server does, or a firewall."""
    admin = await asyncpg.connect(url)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'callsheet hints'")
    await admin.close()


async def test_a_bell_is_heard_by_all_others_and_by_nobody_twice(processes: list[Process]) -> None:
    one, other, third = processes
    one.bells["courier"].ring()
    assert one.bells["courier"].is_set()
    await asyncio.gather(other.heard("courier"), third.heard("courier"))
    one.bells["courier"].clear()
    other.bells["happened"].ring()  # behind it: when this one is heard, an echo of the first would have been
    await one.heard("happened")
    assert not one.bells["courier"].is_set()


async def test_what_is_only_set_stays_in_its_process(processes: list[Process]) -> None:
    one, other, _ = processes
    one.bells["courier"].set()
    one.bells["happened"].ring()
    await other.heard("happened")
    assert not other.bells["courier"].is_set()


async def test_whoever_waits_for_a_task_looks_when_another_process_has_changed_it(processes: list[Process]) -> None:
    one, other, _ = processes
    mine = asyncio.create_task(other.watch.wait(7, WITHIN_S))
    unrelated = asyncio.create_task(other.watch.wait(8, WITHIN_S))
    await until(lambda: len(other.watch._waiting) == 2)
    one.watch.changed(7, "as it is there")
    assert await mine is None, "it is told to look, not what there is to see"
    assert not unrelated.done()
    one.watch.changed(8, "now")
    await unrelated


async def test_more_tasks_than_a_notification_holds_make_everybody_look(processes: list[Process]) -> None:
    one, other, _ = processes
    waits = [asyncio.create_task(other.watch.wait(task_id, WITHIN_S)) for task_id in (1, 10**18)]
    await until(lambda: len(other.watch._waiting) == 2)
    for task_id in range(hints.TASKS_LIMIT + 1):
        one.watch.changed(10**18 + 1 + task_id, "")
    await asyncio.gather(*waits)


async def test_a_storm_of_rings_is_a_handful_of_notifications(processes: list[Process], postgres_url: str) -> None:
    one, other, _ = processes
    witness = await asyncpg.connect(postgres_url)
    said: list[str] = []
    await witness.add_listener(hints.CHANNEL, lambda *heard: said.append(heard[3]))
    for i in range(1_000):
        one.bells["courier"].ring()
        one.watch.changed(i % 200, "")
        if i % 100 == 0:
            await asyncio.sleep(0)
    other.bells["happened"].ring()
    await one.heard("happened")
    one.bells["happened"].ring()
    await until(lambda: sum("happened" in each for each in said) == 2)
    await witness.remove_listener(hints.CHANNEL, lambda *_: None)
    await witness.close()
    assert len(said) <= 6, said
    assert {int(i) for each in said for i in each.partition("|")[2].split()} == set(range(200))


async def test_a_lost_connection_comes_back_by_itself_and_everybody_looks(
    processes: list[Process], postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other, _ = processes
    waits = asyncio.create_task(other.watch.wait(7, WITHIN_S))
    await until(lambda: len(other.watch._waiting) == 1)
    with caplog.at_level(logging.WARNING, "callsheet.hints"):
        await cut(postgres_url)
        await asyncio.gather(*(other.heard(name) for name in other.bells)), "nobody knows what was missed"
        assert await waits is None
    assert {record.message for record in caplog.records} == {"hints.lost"}
    for process in processes:
        assert process.hints is not None
        await process.hints.listening.wait()
    other.bells["courier"].clear()
    one.bells["courier"].ring()
    await other.heard("courier")


async def test_behind_a_pooler_nobody_listens_and_bells_ring_in_their_own_process(postgres_url: str) -> None:
    db = Postgres(postgres_url, named(9), clock, pooled=True)
    bell = Bell()
    assert db.carry({"courier": bell}, Watch[str]()) is None
    bell.ring()
    assert bell.is_set()
    await db.stop()


async def test_stopping_takes_no_time_while_the_server_is_away(postgres_url: str) -> None:
    db = Postgres("postgresql://postgres@127.0.0.1:1/postgres", named(9), clock)
    db.carry({"courier": Bell()}, Watch[str]())
    await asyncio.sleep(0)
    async with asyncio.timeout(hints.GOODBYE_S + 5):
        await db.stop()
