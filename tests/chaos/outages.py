"""PostgreSQL crashes and comes back, or all of its backends are terminated, again and again, under load."""

import asyncio
import time

import asyncpg  # type: ignore[import-untyped]

from tests.chaos.ground import LEASE_OVER_S, Ground, NeverCame, until

RECOVERED_S = 10.0
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 20.0) -> None:
    assert ground.server is not None
    await ground.start("serve")
    await ground.start("work")
    await ground.subscribe("all")
    end = time.monotonic() + for_s
    crashes = 0
    async with ground.load(per_s):
        while time.monotonic() < end:
            await asyncio.sleep(ground.dice.uniform(0.3, 0.8) if quick else ground.dice.uniform(1.0, 3.0))
            if ground.dice.random() < (0.5 if crashes else 1.0):
                await _crash(ground)
                crashes += 1
            else:
                await _terminate(ground)
            began = time.monotonic()
            try:
                await until(lambda: _ready(ground), "ready", RECOVERED_S)
            except NeverCame:
                ground.history.breach(f"not ready {RECOVERED_S:.0f} s after PostgreSQL was there again")
            ground.history.note("recovered after, s", time.monotonic() - began)
    await ground.drain(LEASE_OVER_S, within_s=60)


async def _crash(ground: Ground) -> None:
    assert ground.server is not None
    await asyncio.to_thread(ground.server.restart, "immediate")
    ground.history.faults["crash of PostgreSQL"] += 1


async def _terminate(ground: Ground) -> None:
    connection = await asyncpg.connect(ground.database_url)
    try:
        ended = await connection.fetch(TERMINATE)
    finally:
        await connection.close()
    ground.history.faults["termination of a backend"] += len(ended)


async def _ready(ground: Ground) -> bool:
    """A callback in this run's load, an order, and `/readyz` all write; this one says it without a body."""
    return await ground.readyz() == 200
