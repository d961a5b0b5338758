"""Forget: erase what is personal in a task, or in all tasks of an app. Refused while a task is still open: its provider
has the order, and would tell us again.

Nothing of it is sent once it is answered: this process drops what it has in hand. The others are told to, and do so within
moments; one that does not hear it may still send what it has in hand for as long as its lease lasts (a minute). What was on the
wire already arrives.
"""

from collections.abc import Sequence
from typing import Any

from service.domain.due import LEASE_MS
from service.domain.errors import Conflict, NotFound
from service.domain.lifecycle import SETTLED
from service.domain.task import Task
from service.flow.recall import tell_others
from service.parts import Parts
from service.store import apps, forgetting, jobs, tasks
from service.store.database import Tx

KIND = "forget"
BATCH = 50
"""Tasks erased in one commit: each has a handful of notices to rewrite."""


async def forget_task(parts: Parts, app_id: str, task_id: int) -> Task:
    """As it stands afterwards."""

    def act(tx: Tx) -> Task | None:
        locked, _ = tasks.lock(tx, [task_id], [])
        task = locked.get(task_id)
        if task is None or task.app_id != app_id:
            raise NotFound("there is no such task")
        if task.state not in SETTLED:
            raise Conflict(f"the task is {task.state}; cancel it, or wait for its end")
        _forget(tx, parts, [task_id])
        return tasks.by_id(tx.sql, app_id, task_id)

    task = await parts.db.write(act)
    tell_others(parts)
    assert task is not None
    return task


async def forget_app(parts: Parts, app_id: str) -> Any:
    """A job over all tasks that the app has had up to now."""

    def act(tx: Tx) -> int:
        if apps.app(tx.sql, app_id) is None:
            raise NotFound("there is no such app")
        if forgetting.open_tasks(tx, app_id):
            raise Conflict("the app has tasks that have not ended; cancel them, or wait for their end")
        if jobs.running(tx.sql, app_id, KIND) is not None:
            raise Conflict("it is being forgotten already; look at its job")
        return jobs.add(tx, app_id, KIND, None, 0, tx.ids.new())

    job_id = await parts.db.write(act)
    parts.janitor.bell.ring()
    return await parts.db.read(lambda sql: jobs.by_id(sql, app_id, job_id))


def batch(tx: Tx, parts: Parts, job: Any) -> None:
    found = forgetting.next_tasks(tx, job.app_id, job.place, job.last, BATCH)
    tasks.lock(tx, found, [])
    _forget(tx, parts, found)
    jobs.advance(tx, job, len(found), len(found), found[-1] if len(found) == BATCH else None)


def _forget(tx: Tx, parts: Parts, task_ids: Sequence[int]) -> None:
    # Before the commit: dropped in vain, a delivery is given back and claimed again.
    parts.withdrawn.add(forgetting.forget(tx, task_ids), tx.now, tx.now + LEASE_MS)
