"""Who orders videos: each order once, some of them again, some taken back."""

import asyncio
from typing import TYPE_CHECKING, Any

from service.domain import ids
from tests.sim.story import OrderPlan
from tests.world import PRO

if TYPE_CHECKING:
    from tests.sim.world import World


async def order(world: "World", plan: OrderPlan) -> None:
    await asyncio.sleep(max(0.0, world.at_grain(plan.at) - world.now_s))
    body: dict[str, Any] = {"model": PRO, "prompt": f"order {plan.number}", "metadata": {"n": str(plan.number)}}
    if plan.provider is not None:
        body["provider"] = plan.provider
    if plan.own_url:
        body["callback_url"] = f"https://own.test/{plan.number}"
    if plan.flex:
        body["service_tier"] = "flex"
    key = {"idempotency-key": f"key-{plan.number}"}
    status, task = await world.api("POST", "/v1/tasks", body, plan.app, **key)
    assert status == 201, f"an order was answered {status}: {task}"
    task_id = ids.decode(ids.TASK, task["id"])
    assert task_id is not None
    world.history.tasks[plan.number] = task_id
    for trouble in world.troubles.get(plan.number, ()):
        if trouble.kind == "order repeated":
            await asyncio.sleep(trouble.size)
            status, again = await world.api("POST", "/v1/tasks", body, plan.app, **key)
            world.history.counts["order repeated"] += 1
            if status == 201 and again["id"] != task["id"]:
                world.history.bugs.append(f"one key made two tasks of order {plan.number}")
        if trouble.kind == "order cancelled":
            await asyncio.sleep(trouble.size)
            status, _ = await world.api("POST", f"/v1/tasks/{task['id']}/cancel", None, plan.app)
            world.history.counts[f"order cancelled: {status}"] += 1
            world.history.counts["order cancelled"] += 1
            if status == 200:
                world.history.cancelled.add(plan.number)
