"""Schemathesis against a living service: every operation of /openapi.json, with what it allows and with what it does not.

    python -m tests.hostile.contract --examples 500 --seed 7 --engine postgres

The service is a world behind a real socket whose clock runs by itself; its provider and its subscribers are played, so that
whatever address a made-up subscription names, nobody is looked up or called.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.flow import work
from service.store import jobs, migrate
from service.web import tasks
from tests.postgres import postgres
from tests.web.listening import serving
from tests.world import ADMIN, PRO, Engine, World

LEFT_OUT = ("positive_data_acceptance",)
"""A schema cannot say everything that makes an order a good one (which models there are, what a gateway can do): such an
order is refused with 422, and rightly."""
TICK_S, TICK_MS = 0.05, 2_500
"""The world's time runs fifty times as fast: five seconds for a provider's word are a tenth of one here."""
PHASES = "examples,coverage,fuzzing,stateful"


@dataclass(frozen=True, slots=True)
class Verdict:
    code: int
    said: str


@asynccontextmanager
async def living(world: World) -> AsyncIterator[None]:
    """Time passes, orders are sent, notices are delivered, and long work is done."""

    async def live() -> None:
        while True:
            world.now += TICK_MS
            await world.send()
            await world.deliver()
            if await world.db.read(lambda sql: jobs.page(sql, "default", None, 1)):
                await work.step(world.parts)
            await asyncio.sleep(TICK_S)

    slice_s, tasks.SLICE_S = tasks.SLICE_S, 0.02  # its time is faster than ours
    life = asyncio.create_task(live())
    try:
        yield
    finally:
        tasks.SLICE_S = slice_s
        life.cancel()
        done, _ = await asyncio.wait({life})
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


async def settle(world: World) -> None:
    """One of everything, so that there is something to list."""
    await world.subscribe()
    task = await world.submit(metadata={"shot": "1"}, callback_url="https://own.test/")
    await world.callback("running")
    await world.callback("succeeded")
    assert task.model == PRO


async def examine(engine: Engine, home: Path, examples: int, seed: int, phases: str = PHASES, seconds: float = 600) -> Verdict:
    async with World(engine) as world, serving(world) as server:
        await settle(world)
        url = f"http://127.0.0.1:{server.port}"
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--url", url, "--seed", str(seed)]
        command += ["--max-examples", str(examples), "--phases", phases, "--exclude-checks", ",".join(LEFT_OUT)]
        command += ["--header", f"Authorization: Bearer {ADMIN}", "--warnings", "off", "--request-timeout", "30"]
        command += ["--suppress-health-check", "all", "--no-color", "--continue-on-failure"]
        async with living(world):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=home, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            try:
                said, _ = await asyncio.wait_for(process.communicate(), seconds)
            finally:
                if process.returncode is None:
                    process.kill()
        assert process.returncode is not None
        return Verdict(process.returncode, said.decode())


async def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--phases", default=PHASES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.engine == "postgres":
            with postgres() as url:
                await asyncio.to_thread(lambda: asyncio.run(migrate.to_head_postgres(url)))
                verdict = await examine(Engine(url), home, given.examples, given.seed, given.phases, 3_600)
        else:
            path = home / "callsheet.db"
            await asyncio.to_thread(migrate.to_head_sqlite, str(path))
            verdict = await examine(Engine(f"sqlite:///{path}"), home, given.examples, given.seed, given.phases, 3_600)
    print(verdict.said)
    print(json.dumps({"exit": verdict.code, "engine": given.engine, "seed": given.seed, "examples": given.examples}))
    return verdict.code


if __name__ == "__main__":
    raise SystemExit(asyncio.run(_main()))
