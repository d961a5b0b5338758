"""A subscriber is down for its whole schedule, everything is given up; after five days it is disabled. It comes back, an
operator resumes it and asks for recovery, and everything arrives, once."""

import asyncio
import time

from tests.chaos.ground import HOUR_S, Ground, until

SCHEDULE, SHORT = [5, 300, 1_800], [5]
"""Seconds before each repetition. Everybody's own is longer, and no different."""
LOST = ("abandoned", "skipped")


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 3.0) -> None:
    await ground.start("serve")
    await ground.subscribe("always")
    sleeper = await ground.subscribe("sleeper", schedule=SHORT if quick else SCHEDULE)
    ground.subscribers.down.add("sleeper")
    async with ground.load(per_s):
        await asyncio.sleep(for_s / 4)
    await until(lambda: _ended(ground), "all end")
    ground.history.faults["notice to a subscriber that is down"] += await _count(ground, "pending")
    end = time.monotonic() + 30 + 4 * for_s
    while await _count(ground, "pending"):
        if time.monotonic() > end:
            ground.history.breach(f"{await _count(ground, 'pending')} notices were neither delivered nor given up")
            return
        await ground.turn(HOUR_S)  # its breaker lets one try through an hour
        await asyncio.sleep(0.1)
    for state in LOST:
        ground.history.note(state, await _count(ground, state))
    ground.history.expect(await _lost(ground) > 0, "a subscriber that is down is given up")
    ground.subscribers.down.clear()
    _, found = await ground.ask("GET", f"/v1/subscriptions/{sleeper}")
    if found["status"] == "disabled":
        ground.history.faults["subscription disabled"] += 1
        status, _ = await ground.ask("POST", f"/v1/subscriptions/{sleeper}/resume")
        ground.history.expect(status == 200, f"resume was answered {status}")
    status, job = await ground.ask("POST", f"/v1/subscriptions/{sleeper}/recover", {"since": "2020-01-01T00:00:00Z"})
    ground.history.expect(status == 202, f"recover was answered {status}: {job}")
    await ground.turn(HOUR_S)
    await until(lambda: _recovered(ground), "everything that was given up arrives", 30)
    counts = {told.count for told in ground.history.told.values() if told.subscriber == "sleeper"}
    ground.history.expect(counts == {1}, f"the sleeper was told {counts} times of the same")
    always = sum(told.subscriber == "always" for told in ground.history.told.values())
    slept = sum(told.subscriber == "sleeper" for told in ground.history.told.values())
    ground.history.expect(always == slept, f"{always} notices to the one who was up, {slept} to the one who was not")


async def _ended(ground: Ground) -> bool:
    return ground.player.calling == 0 and (await ground.owed())[0] == 0


async def _count(ground: Ground, state: str) -> int:
    return int(await ground.one(f"SELECT count(*) FROM delivery WHERE state = '{state}'"))


async def _recovered(ground: Ground) -> bool:
    return await _lost(ground) == 0 and await _count(ground, "pending") == 0


async def _lost(ground: Ground) -> int:
    return sum([await _count(ground, state) for state in LOST])
