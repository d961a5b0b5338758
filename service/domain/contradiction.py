"""Contradictions: two truths about one order. The first one is kept, a human is alerted, and what was paid is shown."""

import json

from service.domain import naming
from service.domain.lifecycle import ENDINGS, SETTLED, Verdict
from service.domain.news import Alert, Step
from service.domain.task import Submission, Task

ALSO_PLACED = "also_placed"
"""Warning of a task: its provider has, or had, another paid job for the same order."""


def told_once(task: Task, sub: Submission, now: int, message: str) -> Step:
    return _conflict(task, sub, now, Alert("callback.conflict", message) if sub.conflict_at is None else None)


def second_name(task: Task, sub: Submission, other: str, now: int) -> Step:
    """Told once for each name. The first is followed; its provider is asked, unless it has confirmed that one already."""
    both = f"{sub.remote_id} and {other}"
    message = f"two remote ids for one submission, and both may be paid: {both}; "
    if task.state not in ENDINGS and naming.takes(task, sub, other):
        message += f"callbacks alone gave them, and {sub.provider} is asked which one it knows"
        task, sub = naming.also_called(task, sub, other, now)
    else:
        message += f"{sub.remote_id} is followed"
    return _conflict(_warned(task), sub, now, Alert("callback.conflict", message, both))


def answered_otherwise(task: Task, sub: Submission, answer: str, now: int) -> Step:
    """A callback was here before the answer to the order itself, and named another job. Whoever has the address can write a
    callback; the answer came from the provider: it is followed, and asked about at once."""
    if task.submission_id != sub.id or task.remote_id != sub.remote_id or task.state in SETTLED:
        return second_name(task, sub, answer, now)
    both = f"{sub.remote_id} and {answer}"
    message = f"a callback called this order {sub.remote_id}, and {sub.provider} answered {answer}: that one is followed"
    followed = _warned(task)._replace(remote_id=answer, poll_at=now, asks=max(1, task.asks), missing=0, missing_at=None)
    return _conflict(followed, sub._replace(remote_id=answer, aliases=None), now, Alert("callback.conflict", message, both))


def second_job(task: Task, sub: Submission, now: int, found: bool) -> Step:
    """Of a submission that the task does not follow. `found`: nobody knew of the job before."""
    message = f"paid twice: {sub.provider} has this order as {sub.remote_id}, and {task.remote_id} is followed"
    new = found or sub.conflict_at is None
    return _conflict(_warned(task), sub, now, Alert("callback.conflict", message) if new else None)


def job_of_the_ended(task: Task, sub: Submission, now: int) -> Step:
    message = f"{sub.provider} has this order as {sub.remote_id}, and may be paid for it, although it is {task.state}"
    return _conflict(_warned(task), sub, now, Alert("callback.conflict", message))


def _conflict(task: Task, sub: Submission, now: int, alert: Alert | None) -> Step:
    return Step(task, sub._replace(conflict_at=sub.conflict_at or now), Verdict.CONFLICT, alert=alert)


def _warned(task: Task) -> Task:
    flags = json.loads(task.flags or "[]")
    return task if ALSO_PLACED in flags else task._replace(flags=json.dumps([*flags, ALSO_PLACED], ensure_ascii=False))
