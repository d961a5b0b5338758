"""Resolve: an operator says what became of an order whose answer got lost, because nobody else can."""

from service.domain.errors import BadOrder, Conflict, Fault, NotFound
from service.domain.news import NeverHappened, Source
from service.domain.report import Accepted
from service.domain.task import Outcome, Task
from service.flow.record import Arrival, record
from service.parts import Parts
from service.providers import read
from service.store import tasks

NOT_OPEN = "nothing about it is unknown: only an order whose placement got no answer can be resolved"


async def resolve(parts: Parts, app_id: str, task_id: int, remote_id: str | None) -> Task:
    """`remote_id`: the provider has it under this name. None: it never happened, place it again."""
    task = await parts.db.read(lambda sql: tasks.by_id(sql, app_id, task_id))
    if task is None:
        raise NotFound("there is no such task")
    subs = await parts.db.read(lambda sql: tasks.submissions(sql, app_id, task_id))
    lost = [s for s in subs if s.outcome is Outcome.UNKNOWN]
    if not lost:
        raise Conflict(NOT_OPEN)
    sub = next((s for s in lost if s.id == task.submission_id), lost[-1])
    if remote_id is None:
        recorded = await record(parts, Arrival(NeverHappened(), Source.OPERATOR, sub.id))
    else:
        if read.remote_id(remote_id) is None:
            raise BadOrder("this cannot be the name of a task", [Fault("remote_id", "printable ASCII without spaces")])
        recorded = await record(parts, Arrival(Accepted(remote_id), Source.OPERATOR, sub.id))
        if recorded.submission is not None and recorded.submission.outcome is Outcome.UNKNOWN:
            raise Conflict(f"{remote_id} is another order's already")
    if recorded.task is None or recorded.verdict == "late":
        raise Conflict(NOT_OPEN)  # its own news was faster
    return recorded.task
