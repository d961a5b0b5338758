"""What the tests of deliveries share: time that jumps to whatever is due next, and attempts as a table."""

from dataclasses import replace

import httpx

from service.domain.due import Due
from service.flow.announce import Happening, announce
from service.store.database import Tx
from tests.channels.samples import notice, task
from tests.world import START_MS, World

SLACK = "https://hooks.slack.com/services/T0/B0/s3cr3t"


def steady(world: World) -> None:
    """No jitter: every pause is exactly the scheduled one."""
    world.parts = replace(world.parts, random=lambda: 0.5)


async def due_next(world: World) -> int | None:
    [row] = await world.rows("SELECT min(due_at) AS at FROM lane")
    at: int | None = row.at
    return at


async def pass_time(world: World, hours: float) -> None:
    """Deliver whatever comes due within that time, each at its instant."""
    end = world.now + int(hours * 3_600_000)
    while True:
        await world.deliver()
        at = await due_next(world)
        if at is None or at > end:
            world.now = end
            return
        world.now = max(at, world.now + 1)


async def attempts(world: World, host: str = "hook.test") -> list[tuple[float, str, str | None]]:
    """(seconds after the start, outcome, status) of each."""
    found = await world.rows(
        "SELECT a.at, a.outcome, a.status FROM attempt a JOIN delivery d ON d.id = a.delivery_id"
        " JOIN subscription s ON s.id = d.subscription_id WHERE s.target LIKE :host ORDER BY a.at, a.delivery_id, a.number",
        host=f"%{host}%",
    )
    return [((row.at - START_MS) / 1000, row.outcome, row.status) for row in found]


def answers(status: int, times: int = 1, **headers: str) -> list[httpx.Response]:
    return [
        httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()}, text="so it is")
        for _ in range(times)
    ]


async def queued(world: World, count: int = 1) -> None:
    """So many events, in one commit."""

    def happen(tx: Tx) -> list[list[Due]]:
        bodies = (notice(task(state="queued", order={"prompt": f"number {n}"})).body for n in range(count))
        return announce(tx, world.parts, [Happening("default", "task.queued", "own", body) for body in bodies])

    for in_hand in await world.db.write(happen):
        world.parts.courier.put(in_hand)
