"""Two workers on one PostgreSQL; one is frozen with notices in the air, sleeps past its leases, and is thawed."""

import asyncio
import time

from service.domain import ids
from tests.chaos.ground import LEASE_OVER_S, Ground, Process, until

AGAIN_S = 20.0
"""For a moment in which a worker is inside no transaction."""
SLOW_S = 0.2
"""What an answer of the subscriber takes: so that there is always something in the air."""


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 5.0) -> None:
    _, *workers = await asyncio.gather(ground.start("serve", "--no-loops"), ground.start("work"), ground.start("work"))
    for number in range(4):
        await ground.subscribe(f"slow-{number}")
    ground.subscribers.slow_s = SLOW_S
    end = time.monotonic() + for_s
    async with ground.load(per_s):
        while time.monotonic() < end or (not ground.history.faults and time.monotonic() < end + AGAIN_S):
            await until(lambda: _in_the_air(ground), "notices in the air")
            sleeper = ground.dice.choice(workers)
            if not await _frozen(ground, sleeper):
                continue
            ground.history.faults["worker frozen past its leases"] += 1
            await ground.turn(LEASE_OVER_S)
            try:
                await _ten_more(ground)
            finally:
                ground.thaw(sleeper)
            await asyncio.sleep(ground.dice.uniform(0.2, 0.6))
    await ground.drain(LEASE_OVER_S)
    repeated = {ids.decode(ids.DELIVERY, name) for name, told in ground.history.told.items() if told.count > 1}
    ground.history.note("told twice", len(repeated))
    failed = {i for (i,) in await ground.rows("SELECT delivery_id FROM attempt WHERE outcome <> 'told'")}
    stray = repeated - ground.cut_off - failed
    ground.history.expect(not stray, f"{len(stray)} notices came twice that nobody had under way when somebody froze")


async def _frozen(ground: Ground, worker: Process) -> bool:
    """Asleep, and not in the middle of a transaction: that one would be a lock that PostgreSQL lifts after a minute."""
    ground.freeze(worker)
    ports = ", ".join(map(str, worker.ports))
    for _ in range(2):
        await asyncio.sleep(0.05)
        inside = await ground.one(
            f"SELECT count(*) FROM pg_stat_activity WHERE client_port IN ({ports}) AND state LIKE 'idle in transaction%'"
        )
        if inside:
            ground.thaw(worker)
            return False
    return True


async def _in_the_air(ground: Ground) -> bool:
    return ground.subscribers.in_flight >= 4


async def _ten_more(ground: Ground) -> None:
    before = ground.subscribers.heard

    async def heard() -> bool:
        return ground.subscribers.heard >= before + 10

    await until(heard, "the other one goes on")
