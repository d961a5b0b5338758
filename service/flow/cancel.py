"""Cancel: for free while nothing is placed, by the provider's own cancel while the task is queued there, otherwise not.

The request that cancels a queued task at Ark erases the record of one that has ended. So the provider is asked right before,
and again afterwards: only its own word makes a task cancelled. A second request would erase what the first one did, so one
caller at a time asks for it, and the others wait for what comes of it.
"""

import logging
from dataclasses import dataclass

from service.accounts import Desk
from service.domain.errors import Conflict, NotFound, Unavailable
from service.domain.lifecycle import SETTLED, State
from service.domain.news import News, Source, Withdrawn
from service.domain.report import CancelTaken, CancelTooLate, Missing, Report
from service.domain.task import Submission, Task
from service.flow import gateway
from service.flow.record import Arrival, Recorded, record
from service.parts import Parts
from service.providers.base import Cancels
from service.providers.registry import cancels
from service.store import tasks


@dataclass(frozen=True, slots=True)
class _Placed:
    """A task that a provider has, and how to speak to it."""

    task: Task
    submission: Submission
    desk: Desk
    gateway: Cancels
    remote_id: str


log = logging.getLogger("callsheet.cancel")

HELD_MS = 90_000
"""One cancel's time at the provider: longer than its three questions may take. Later it was cut off."""
LOOKS = 15
LOOK_S = 1.0
"""While another caller cancels it: the end of that is awaited, and looked for in case another process brings it."""


async def cancel(parts: Parts, app_id: str, task_id: int) -> Task:
    """The task as it is then, cancelled. Raises Conflict with the reason when it cannot be, Unavailable when nobody knows yet."""
    for _ in range(LOOKS):
        task, sub = await _look(parts, app_id, task_id)
        if _is_cancelled(task):
            return task
        if sub is None:
            recorded = await record(parts, Arrival(Withdrawn(), Source.CANCEL, task_id=task.id))
            if recorded.moved and recorded.task is not None:
                return recorded.task
            continue  # what waited was sent while we looked, or somebody else withdrew it
        placed = _placed(parts, task, sub)
        if not await _hold(parts, sub):
            await parts.watch.wait(task.id, LOOK_S)
            continue
        try:
            return await _at_provider(parts, placed)
        except (Conflict, Unavailable):
            task, _ = await _look(parts, app_id, task_id)  # its own news may have been faster
            if _is_cancelled(task):
                return task
            raise
        finally:
            await _let_go(parts, sub)
    raise Unavailable("it is being placed or cancelled at this moment; try again")


async def _hold(parts: Parts, sub: Submission) -> bool:
    """False: somebody else cancels it at this moment."""
    return await parts.db.write(lambda tx: tasks.hold_cancel(tx, sub.id, tx.now + HELD_MS))


async def _let_go(parts: Parts, sub: Submission) -> None:
    try:
        await parts.db.write(lambda tx: tasks.end_cancel(tx, sub.id))
    except Unavailable:
        log.warning("cancel.not_let_go", extra={"held_ms": HELD_MS})  # it runs out by itself


def _is_cancelled(task: Task) -> bool:
    if task.state is not State.CANCELLED and task.state in SETTLED:
        raise Conflict(f"it has ended already: {task.state}")
    return task.state is State.CANCELLED


async def _look(parts: Parts, app_id: str, task_id: int) -> tuple[Task, Submission | None]:
    task = await parts.db.read(lambda sql: tasks.by_id(sql, app_id, task_id))
    if task is None:
        raise NotFound("there is no such task")
    subs = await parts.db.read(lambda sql: tasks.submissions(sql, app_id, task_id)) if task.submission_id else []
    return task, next((s for s in subs if s.id == task.submission_id), None)


def _placed(parts: Parts, task: Task, sub: Submission) -> _Placed:
    if sub.remote_id is None:
        raise Conflict(f"{sub.provider} is being asked to take it, or its answer got lost: there is nothing to cancel by yet")
    desk = parts.accounts.get(sub.provider, sub.account)
    if desk is None or desk.account.base_url != sub.base_url:
        raise Conflict(f"the account at {sub.provider} that it was placed with is not configured any more")
    speaker = cancels(desk.gateway)
    if speaker is None:
        raise Conflict(f"{sub.provider} documents no cancel: the task runs to its end there")
    if task.state is State.RUNNING:
        raise Conflict("it is running; only queued tasks can be cancelled")
    return _Placed(task, sub, desk, speaker, sub.remote_id)


async def _at_provider(parts: Parts, placed: _Placed) -> Task:
    task, sub, desk, speaker = placed.task, placed.submission, placed.desk, placed.gateway
    task = _unless_moved_on(await _ask(parts, placed), task)
    if task.state is State.CANCELLED:
        return task
    outcome = await gateway.ask(
        parts, desk, speaker.cancel(desk.account, placed.remote_id), lambda reply: speaker.read_cancel(reply, parts.clock())
    )
    match outcome:
        case CancelTaken():
            return await _confirmed(parts, placed)
        case CancelTooLate(reason):
            await _bring(parts, placed, outcome)
            raise Conflict(f"too late, {sub.provider} says: {reason}")
        case _:
            raise await _unclear(parts, placed)


async def _ask(parts: Parts, placed: _Placed) -> Recorded:
    news = await _standing(parts, placed)
    if not isinstance(news, Report) or news.state is None:
        raise Unavailable(f"{placed.desk.account.provider} does not say how the task stands, so nothing was cancelled", 5)
    return await _bring(parts, placed, news)


def _unless_moved_on(recorded: Recorded, task: Task) -> Task:
    now = recorded.task or task
    if now.state not in (State.QUEUED, State.CANCELLED):
        raise Conflict(f"it has moved on meanwhile: {now.state}")
    return now


async def _confirmed(parts: Parts, placed: _Placed) -> Task:
    """The same request erases an ended task. If it is gone now, it had ended, and its callback is on its way."""
    after = await _standing(parts, placed)
    match after:
        case Missing():
            await _bring(parts, placed, CancelTooLate("it had ended"))
            raise Conflict("it ended in the very moment; its own news will tell how")
        case Report(state=State.QUEUED):  # it has not ended, and the cancel was taken: this answer lags behind
            recorded = await _bring(parts, placed, CancelTaken())
        case Report(state=state) if state is not None:
            recorded = await _bring(parts, placed, after)
        case _:
            raise await _unclear(parts, placed, after)
    task = recorded.task
    assert task is not None
    if task.state is not State.CANCELLED:
        raise Conflict(f"it has moved on meanwhile: {task.state}")
    return task


async def _standing(parts: Parts, placed: _Placed) -> News:
    """As its provider says now."""
    desk, remote_id = placed.desk, placed.remote_id
    return await gateway.ask(
        parts,
        desk,
        desk.gateway.query(desk.account, remote_id),
        lambda reply: desk.gateway.read_query(reply, remote_id, parts.clock()),
    )


async def _unclear(parts: Parts, placed: _Placed, said: News | None = None) -> Unavailable:
    """It may have been cancelled all the same, or have ended: the reconciler asks at once."""
    await _bring(parts, placed, said or CancelTooLate("no clear answer"))
    return Unavailable(f"{placed.submission.provider} gave no clear answer; look at the task again in a moment", 5)


async def _bring(parts: Parts, placed: _Placed, news: News) -> Recorded:
    return await record(parts, Arrival(news, Source.CANCEL, placed.submission.id, placed.task.id))
