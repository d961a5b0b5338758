"""Gathers what an explanation needs: the task, its submission, and for one that waits its place in the queue."""

from collections import Counter
from collections.abc import Sequence

import orjson
from sqlalchemy import Connection

from service.domain import ids, route
from service.domain.admission import place, wait_s, without
from service.domain.breaker import Breaker
from service.domain.errors import NotFound
from service.domain.explain import Candidate, Explanation, Habits, Queue, also_placed, explain
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.task import Submission, Task
from service.flow import ask
from service.parts import Parts
from service.store import tasks, waiting


async def explanation(parts: Parts, app_id: str, task_id: int) -> tuple[Task, Explanation, Queue | None]:
    def look(sql: Connection) -> tuple[Task | None, Sequence[Submission], Queue | None]:
        task = tasks.by_id(sql, app_id, task_id)
        if task is None:
            return None, (), None
        subs = tasks.submissions(sql, app_id, task_id)
        return task, subs, _queue(parts, sql, task) if task.place_at is not None else None

    task, subs, queue = await parts.db.read(look)
    if task is None:
        raise NotFound("there is no such task")
    sub = next((s for s in subs if s.id == task.submission_id), None)
    desk = parts.accounts.get(sub.provider, sub.account) if sub is not None else None
    habits = Habits(configured=False)
    if desk is not None and sub is not None and desk.account.base_url == sub.base_url:
        quiet_until = await ask.quiet_until(parts, desk)
        habits = Habits(str(desk.callbacks), desk.gateway.facts.scans, quiet_until=quiet_until)
    return task, also_placed(task, subs, explain(task, sub, habits, queue, parts.clock())), queue


def _queue(parts: Parts, sql: Connection, task: Task) -> Queue:
    mine, weight, others = waiting.ahead(sql, task)
    now = parts.clock()
    rooms, breakers = waiting.rooms(sql, now, parts.accounts.caps)
    position = place(mine, weight, others)
    desks = [parts.accounts.desks[key] for key in route.as_keys(task.route) if key in parts.accounts.desks]
    if not desks:  # gone from the configuration: others may do, as when it is placed
        desks, _ = parts.accounts.able(Order.of(orjson.loads(tasks.order_bodies(sql, [task.id])[task.id])))
    unexplained = waiting.unexplained(sql, [d.key for d in desks])
    held = Counter(key for key, _, _ in unexplained)
    known = [parts.accounts.known(d.account.provider, task.model, State.RUNNING) for d in desks]
    typical_s = max(
        (k.p50_s if k is not None else d.gateway.facts.typical_s for k, d in zip(known, desks, strict=True)), default=60.0
    )
    candidates = []
    for desk in desks:
        breaker = breakers.get(desk.key, Breaker())
        name = f"{desk.account.provider} ({desk.account.name})"
        candidates.append(Candidate(name, breaker.state(now), breaker.open_until, rooms[desk.key] > 0))
    caps = [without(parts.accounts.caps[d.key], held[d.key]) for d in desks]
    mine_lost = [ids.encode(ids.TASK, task_id) for _, app_id, task_id in unexplained if app_id == task.app_id]
    return Queue(position, wait_s(position, caps, float(typical_s)), candidates, mine_lost, len(unexplained) - len(mine_lost))
