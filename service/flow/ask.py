"""Ask: somebody wants to know now how a task stands at its provider. The reconciler asks, within the account's own limits."""

from service.accounts import Desk
from service.domain.errors import Conflict, NotFound
from service.domain.lifecycle import SETTLED, Verdict
from service.domain.news import Asked, Source
from service.domain.task import Outcome, Submission, Task
from service.flow.record import Arrival, record
from service.parts import Parts
from service.store import accounts, tasks


async def ask(parts: Parts, app_id: str, task_id: int) -> Task:
    """The task as it waits to be asked about. Raises Conflict with the reason why nobody can be asked."""
    task = await parts.db.read(lambda sql: tasks.by_id(sql, app_id, task_id))
    if task is None:
        raise NotFound("there is no such task")
    if task.state in SETTLED:
        raise Conflict(f"it has ended already: {task.state}")
    subs = await parts.db.read(lambda sql: tasks.submissions(sql, app_id, task_id))
    sub = next((s for s in subs if s.id == task.submission_id), None)
    if sub is None:
        raise Conflict("no provider has it yet: it waits to be placed")
    hindrance = _hindrance(sub, parts.accounts.get(sub.provider, sub.account))
    if hindrance is not None:
        raise Conflict(hindrance)
    recorded = await record(parts, Arrival(Asked(), Source.OPERATOR, sub.id, task.id))
    if recorded.task is None or recorded.verdict == Verdict.LATE:
        raise Conflict("it has moved on in this very moment; look at it again")
    return recorded.task


def _hindrance(sub: Submission, desk: Desk | None) -> str | None:
    if sub.outcome is Outcome.SENDING:
        return f"{sub.provider} is being asked to take it at this moment"
    if desk is None or desk.account.base_url != sub.base_url:
        return f"the account at {sub.provider} that it was placed with is not configured any more"
    if sub.outcome is Outcome.UNKNOWN and not desk.gateway.facts.scans:
        return f"{sub.provider} has no list to look for it in; say what happened with resolve"
    return None


async def quiet_until(parts: Parts, desk: Desk) -> int | None:
    """An account that did not answer, or wanted to be left alone, is asked by nobody before then."""
    row = (await parts.db.read(accounts.rows)).get(desk.key)
    return row.asking_until if row is not None and row.silent_count > 0 and row.asking_until > parts.clock() else None
