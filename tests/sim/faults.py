"""What goes wrong of itself: kills, clocks, disks, and what people do by the API while it happens."""

import asyncio
from typing import TYPE_CHECKING

from tests.sim.process import Down
from tests.sim.story import Fault
from tests.sim.subscribers import HOSTS

if TYPE_CHECKING:
    from tests.sim.world import World

JUMPS_MS = {"clock back 1 h": -3_600_000, "clock on 1 h": 3_600_000, "clock on 80 h": 80 * 3_600_000}


async def strike(world: "World", fault: Fault) -> None:
    await asyncio.sleep(fault.at)
    world.history.note(world.now_s, "fault", fault.kind, fault.who)
    match fault.kind:
        case "killed":
            world.kill_at_step = world.loop.steps + 1 + int(fault.size)
        case "stopped":
            await _stop(world)
        case "commit fails":
            world.disk.fail, world.disk.after_steps = 1 + int(fault.size) % 4, 1 + int(fault.size * 37) % 700
        case "commit's answer lost":
            world.disk.forget = 1 + int(fault.size) % 3
        case "disk full":
            await _fill(world, fault.size * 5)
        case kind if kind in JUMPS_MS:
            world.jump_ms += JUMPS_MS[kind]
            world.history.counts[kind] += 1
        case kind if kind.startswith("provider"):
            world.modes[f"{fault.who}.test"] = (kind, world.now_s + fault.size)
        case kind if kind.startswith("subscriber"):
            host = next(host for host, name in HOSTS.items() if name == fault.who)
            world.modes[host] = (kind, world.now_s + fault.size)
        case kind:
            await _by_api(world, kind, str(fault.who), fault.size)


async def _stop(world: "World") -> None:
    process = world.process
    if process is None or not process.alive or process.loops is None:
        return
    world.history.counts["stopped"] += 1
    try:
        await process.run(process.stop())
    except Down:
        return  # killed while it stopped
    process.die()
    await world.rise(world.dice.choice((0.1, 5.0)))


async def _fill(world: "World", pause_s: float) -> None:
    assert world.process is not None
    raw = world.process.store.raw
    [pages] = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count={pages}")
    await asyncio.sleep(pause_s)
    raw.execute("PRAGMA max_page_count=1000000")


async def _by_api(world: "World", kind: str, name: str, pause_s: float) -> None:
    app = "other" if name == "other" else "default"
    path = f"/v1/subscriptions/{world.subscriptions[name]}"
    world.history.counts[kind] += 1
    match kind:
        case "subscription paused":
            await world.api("POST", f"{path}/pause", None, app)
            await asyncio.sleep(pause_s)
            await world.api("POST", f"{path}/resume", None, app)
        case "subscription recovered":
            await world.api("POST", f"{path}/resume", None, app)
            since = "2026-11-01T00:00:00Z"
            await world.api("POST", f"{path}/recover", {"since": since}, app)
        case "delivery resent":
            _, page = await world.api("GET", f"/v1/deliveries?limit=3&subscription={world.subscriptions[name]}", None, app)
            for each in page["data"]:
                await world.api("POST", f"/v1/deliveries/{each['id']}/resend", None, app)
