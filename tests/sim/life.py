"""One world from its first order to rest: callers, providers, subscribers and faults around the real service.

The story says what will happen; everything else (latencies, jitter) comes from dice of the same seed.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tests.sim.callers import order
from tests.sim.faults import strike
from tests.sim.history import Errors, History
from tests.sim.subscribers import SLACK
from tests.sim.world import World

REST_LIMIT_S = 60 * 86_400.0
"""Whatever was ordered has come to rest by then, or never will."""


def live(world: World, check: Callable[[World], None] | None = None) -> History:
    """From the first order to rest; then the checker looks, before the last process stops."""
    service = logging.getLogger("callsheet")
    errors = Errors(world.history.bugs)
    was = service.level, service.propagate
    service.setLevel(logging.ERROR)
    service.propagate = False
    service.addHandler(errors)
    try:
        asyncio.set_event_loop(world.loop)
        world.loop.run_until_complete(_live(world))
        if check is not None:
            check(world)
        if world.process is not None and world.process.alive:
            world.kill_at_step = None  # a kill that was still to come would strike nobody's work
            world.loop.run_until_complete(world.process.run(world.process.stop()))
            world.process.die()
    finally:
        service.removeHandler(errors)
        service.level, service.propagate = was
        asyncio.set_event_loop(None)
        world.loop.close()
        if world.process is not None:
            world.process.store.engine.dispose()
    return world.history


async def _live(world: World) -> None:
    await world.rise()
    await _furnish(world)
    for plan in world.story.orders:
        world.start(order(world, plan))
    for fault in world.story.faults:
        if not isinstance(fault.who, int):
            world.start(strike(world, fault))
    pause_s = 30.0
    while not _at_rest(world):
        if world.now_s > REST_LIMIT_S:
            world.history.bugs.append("it never comes to rest")
            return
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.3, 3_600.0)


async def _furnish(world: World) -> None:
    """Two apps, and who wants to know."""
    await world.api("POST", "/v1/apps", {"id": "other"})
    wishes: list[tuple[str, str, dict[str, Any]]] = [
        ("all", "default", {"channel": "webhook", "target": "https://hook-all.test/", "events": ["*"]}),
        (
            "endings",
            "default",
            {
                "channel": "webhook",
                "target": "https://hook-endings.test/",
                "events": ["task.succeeded", "task.failed"],
                "rate": 5,
                "filter": {"provider": ["ark", "byteplus"]},
            },
        ),
        ("other", "other", {"channel": "webhook", "target": "https://hook-other.test/", "concurrency": 1}),
        ("slack", "default", {"channel": "slack", "target": SLACK}),
    ]
    for name, app, wish in wishes:
        if name not in world.story.subscribers:
            continue
        _, made = await world.api("POST", "/v1/subscriptions", wish, app)
        world.subscriptions[name] = made["id"]
        world.secrets[name] = made.get("secret", "")
    assert world.process is not None
    for app, sealed in world.process.store.raw.execute("SELECT id, sealed FROM app"):
        world.secrets[f"own {app}"] = world.process.parts.seal.open(sealed).decode()


def _at_rest(world: World) -> bool:
    if world.coming or world.process is None or not world.process.alive:
        return False
    found = world.process.store.raw.execute(
        "SELECT (SELECT count(*) FROM task WHERE ended_at IS NULL OR poll_at IS NOT NULL), (SELECT count(*) FROM delivery WHERE state = 'pending'),"
        " (SELECT count(*) FROM job WHERE state = 'running')"
    ).fetchone()
    return not any(found)
