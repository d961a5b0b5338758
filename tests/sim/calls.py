"""Providers call back: each change of a job's status, as the faults of its order have it."""

import asyncio
from typing import TYPE_CHECKING

import orjson

from service.domain.report import Report
from service.providers.registry import GATEWAYS
from tests.sim.history import Acked
from tests.sim.process import Down
from tests.sim.provider import START_S, Job

if TYPE_CHECKING:
    from tests.sim.world import World

TRIES_S = (10.0, 60.0)
"""Between a provider's tries to call back about an ending."""


async def tell(world: "World", job: Job, step: str, pause_s: float) -> None:
    """One change of a job's status, called back as the faults of its order have it."""
    await asyncio.sleep(max(0.0, world.at_grain(world.now_s + pause_s) - world.now_s))
    status = job.status(START_S + world.now_s) if step == "ended" else step
    if (step == "running") and job.ending == "cancelled":
        return
    bodies = [job.shown(status, START_S + world.now_s)]
    raw: bytes | None = None
    for trouble in world.troubles.get(job.order, ()):
        mine = (step == "ended") is (int(trouble.size) % 2 == 0)
        match trouble.kind:
            case "callback dropped" if mine or trouble.size > 20:
                world.history.counts[trouble.kind] += 1
                return
            case "callback duplicated" if mine:
                bodies *= 2 + int(trouble.size) % 4
            case "callback delayed" if mine:
                await asyncio.sleep(trouble.size * 10)
            case "callback reordered" if step != "ended":
                await asyncio.sleep(max(0.0, job.ended_s - START_S - world.now_s) + trouble.size)
            case "callback garbled" if mine:
                raw = orjson.dumps(bodies[0])[: int(trouble.size * 3) % 60] + b"\xff{"
            case "callback of an unknown word" if step == "running":
                bodies = [bodies[0] | {"status": "dreaming"}, *bodies]
            case "callback of a second ending" if step == "ended":
                bodies.append(job.shown("failed" if status == "succeeded" else "expired", START_S + world.now_s))
            case "callback of another id" if mine:
                bodies.append(bodies[0] | {"id": f"{job.id}-other"})
            case _:
                continue
        world.history.counts[trouble.kind] += 1
    for body in bodies:
        world.start(_call(world, job, orjson.dumps(body) if raw is None else raw, ending=step == "ended"))


async def _call(world: "World", job: Job, body: bytes, ending: bool) -> None:
    path = job.body["callback_url"].removeprefix("https://callsheet.test")
    _, _, provider, token = path.split("/")
    await asyncio.sleep(world.latency())
    for pause_s in (*(TRIES_S if ending else ()), None):
        status = 0
        try:
            async with asyncio.timeout(5):
                assert world.process is not None
                status, _ = await world.process.request("POST", path, body)
        except (Down, TimeoutError):
            pass
        world.history.note(world.now_s, "callback", job.id, status, len(body))
        world.history.counts[f"callback answered {status}"] += 1
        if 200 <= status < 300:
            said = GATEWAYS[provider].read_callback(body)
            own = isinstance(said, Report) and said.remote_id == job.id and said.state is not None
            state = str(said.state) if own else None  # type: ignore[union-attr]
            world.history.acked.append(Acked(int(token.partition(".")[0], 16), state))
            return
        if pause_s is None:
            return
        await asyncio.sleep(pause_s)
