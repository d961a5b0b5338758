"""Two workers on one PostgreSQL; one is frozen with notices in the air, sleeps past its leases, and is thawed."""

import asyncio
import time

from tests.chaos.ground import LEASE_OVER_S, Ground, Process, until

SLOW_S = 0.2
"""What an answer of the subscriber takes: so that there is always something in the air."""


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 5.0) -> None:
    await ground.start("serve", "--no-loops")
    workers = [await ground.start("work"), await ground.start("work")]
    for number in range(4):
        await ground.subscribe(f"slow-{number}")
    ground.subscribers.slow_s = SLOW_S
    end = time.monotonic() + for_s
    allowed = 0
    async with ground.load(per_s):
        while time.monotonic() < end:
            await until(lambda: _in_the_air(ground), "notices in the air")
            sleeper = ground.dice.choice(workers)
            if not await _frozen(ground, sleeper):
                continue
            ground.history.faults["worker frozen past its leases"] += 1
            allowed += await _leased(ground)
            ground.clock.turn(LEASE_OVER_S)
            await _ten_more(ground)
            ground.thaw(sleeper)
            await asyncio.sleep(ground.dice.uniform(0.2, 0.6))
    await ground.drain(LEASE_OVER_S)
    repeated = sum(told.count - 1 for told in ground.history.told.values())
    ground.history.note("told twice", repeated)
    allowed += await ground.one("SELECT count(*) FROM attempt WHERE outcome <> 'told'")
    ground.history.expect(repeated <= allowed, f"{repeated} notices came twice, {allowed} were under way when somebody froze")


async def _frozen(ground: Ground, worker: Process) -> bool:
    """Asleep, and not in the middle of a transaction: that one would be a lock that PostgreSQL lifts after a minute."""
    ground.freeze(worker)
    for _ in range(3):
        await asyncio.sleep(0.05)
        if not await ground.one("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"):
            return True
    ground.thaw(worker)
    return False


async def _in_the_air(ground: Ground) -> bool:
    return ground.subscribers.in_flight >= 4


async def _ten_more(ground: Ground) -> None:
    before = ground.subscribers.heard

    async def heard() -> bool:
        return ground.subscribers.heard >= before + 10

    await until(heard, "the other one goes on")


async def _leased(ground: Ground) -> int:
    """Whatever is leased now may be told twice: by its sleeper, or because the clock ran ahead of whoever is awake."""
    return int(await ground.one("SELECT count(*) FROM delivery WHERE state = 'pending' AND fence > 0"))
