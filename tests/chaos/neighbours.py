"""Of a hundred subscribers one hangs, one is dead, one answers ten megabytes a drop at a time: the others get theirs, and
the memory of the service stays where it was."""

import asyncio
import time

from tests.chaos.ground import Ground, until

GOOD = 97
GROWN_MIB = {"sqlite": 48.0, "postgres": 16.0}
"""Connections to a hundred subscribers, their keys and the rows in hand; on SQLite besides the 32 MiB of the writer's page
cache. Ten megabytes an answer would show at once."""
LATE_S = 10.0
"""Less than what an attempt at the one that hangs takes: nobody waits for it."""


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 2.0) -> None:
    service = await ground.start("serve")
    ground.subscribers.hanging.add("hang")
    ground.subscribers.dripping.add("drip")
    good = [f"good-{number}" for number in range(GOOD)]
    await asyncio.gather(*(ground.subscribe(name) for name in ["hang", "drip", *good]))
    status, _ = await ground.ask("POST", "/v1/subscriptions", {"target": "http://127.0.0.1:9/dead"})
    assert status == 201
    await ground.order("warm")
    await until(lambda: _all_told(ground), "the first order is told to everybody")
    before = service.status("VmRSS") / 1024
    ground.history.faults["subscriber that hangs, is dead or drips"] += 3
    async with ground.load(per_s):
        end = time.monotonic() + for_s
        while time.monotonic() < end:
            await asyncio.sleep(0.2)
            ground.history.note("memory grown, MiB", service.status("VmRSS") / 1024 - before)
    began = time.monotonic()
    await until(lambda: _all_told(ground), "everybody else gets theirs", 30)
    late_s = time.monotonic() - began
    ground.history.note("the others were told after, s", late_s)
    ground.history.expect(late_s < LATE_S, f"the others were told {late_s:.0f} s late")
    ground.history.note("memory grown, MiB", service.status("VmRSS") / 1024 - before)
    grown = service.status("VmRSS") / 1024 - before
    ground.history.expect(grown < GROWN_MIB[ground.engine], f"the memory of the service grew by {grown:.0f} MiB")
    tried = await ground.one("SELECT count(*) FROM attempt WHERE outcome <> 'told'")
    ground.history.expect(tried > 0, "the three were tried as well")


async def _all_told(ground: Ground) -> bool:
    if ground.player.calling or (await ground.owed())[0]:
        return False
    steps = await ground.one("SELECT count(*) FROM event WHERE sequence IS NOT NULL")
    told = sum(told.subscriber.startswith("good") for told in ground.history.told.values())
    return bool(told == steps * GOOD)
