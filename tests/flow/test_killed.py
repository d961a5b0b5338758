"""kill -9 between sending an order and storing the answer, fifty times: nothing is placed twice, nothing is forgotten."""

import asyncio
import multiprocessing
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from service.domain.lifecycle import State
from service.domain.placement import UNRESOLVED
from tests.flow import victim
from tests.world import START_MS, Engine, Job, World

pytestmark = pytest.mark.anyio


class Killer:
    """A provider that takes the order, and kills the sender before it answers."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.creates = 0
        self.sender = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        self.creates += 1
        job = Job(f"cgt-{self.creates}", orjson.loads(await reader.readexactly(length)), created_s=START_MS // 1000)
        job.host = "127.0.0.1"
        self.jobs[job.id] = job
        os.kill(self.sender, signal.SIGKILL)
        writer.close()


@asynccontextmanager
async def killer() -> AsyncIterator[tuple[Killer, str]]:
    provider = Killer()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    try:
        yield provider, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("times", "callbacks", "mark"),
    [(20, "every", False), (20, "none", True), (10, "none", False)],
    ids=["callbacks", "list", "neither"],
)
async def test_a_process_killed_while_sending_costs_no_second_placement(
    tmp_path: Path, sqlite_template: Path, times: int, callbacks: str, mark: bool
) -> None:
    path = str(tmp_path / "callsheet.db")
    shutil.copy(sqlite_template, path)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.flow.victim"])
    async with killer() as (provider, base_url):
        for i in range(times):
            process = processes.Process(
                target=victim.place_one, args=(path, START_MS, base_url, callbacks, mark, f"number {i}")
            )
            process.start()
            assert process.pid is not None
            provider.sender = process.pid
            await asyncio.to_thread(process.join, 30)
            assert process.exitcode == -signal.SIGKILL
    assert provider.creates == times
    world = World(Engine(f"sqlite:///{path}"), desks=[victim.desk(base_url, callbacks, mark)])
    world.jobs = provider.jobs
    async with world:
        for i in range(times):
            assert (await world.order(f"number {i}", key=f"number {i}")).replayed
        if callbacks == "every":
            for job in list(world.jobs.values()):
                assert await world.callback("running", job) == 200
        for _ in range(300):
            world.silence(seconds=20)
            await world.send()
            await world.reconcile()
            rows = await world.rows("SELECT state, reason, remote_id FROM task")
            if all(row.state != "created" for row in rows):
                break
        assert (len(rows), world.creates) == (times, 0)
        if mark or callbacks == "every":
            assert {row.remote_id for row in rows} == set(world.jobs)
            assert {row.state for row in rows} <= {State.QUEUED, State.RUNNING}
        else:
            assert {(row.state, row.reason) for row in rows} == {("created", UNRESOLVED)}
