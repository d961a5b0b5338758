"""kill -9 of the process on SQLite, of web and workers on PostgreSQL, every one to three seconds under load."""

import asyncio
import time

from tests.chaos.ground import LEASE_OVER_S, Ground

ROLES: dict[str, list[tuple[str, ...]]] = {"sqlite": [("serve",)], "postgres": [("serve", "--no-loops"), ("work",), ("work",)]}
MARK_S = 75.0
"""From the last kill until nothing is owed: what was in the air is anybody's again after its lease of a minute."""


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 20.0) -> None:
    roles = ROLES[ground.engine]
    processes = [await ground.start(*role) for role in roles]
    await ground.subscribe("all")
    await ground.subscribe("endings", events=["task.succeeded", "task.failed"])
    end = time.monotonic() + for_s
    async with ground.load(per_s):
        while time.monotonic() < end:
            await asyncio.sleep(ground.dice.uniform(0.5, 1.0) if quick else ground.dice.uniform(1.0, 3.0))
            which = ground.dice.randrange(len(roles))
            await ground.kill(processes[which])
            ground.history.faults[f"kill -9 of {roles[which][0]}"] += 1
            processes[which] = await ground.start(*roles[which])
    await ground.drain(*([LEASE_OVER_S] if quick else []), within_s=MARK_S)
