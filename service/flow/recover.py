"""Send again everything that one subscription was not told: a durable job, a batch at a time.

Recovered deliveries wait with what failed before, so that they never hold up fresh news.
"""

from typing import Any

from service.domain.errors import Conflict, NotFound
from service.domain.ids import first_id_at
from service.parts import Parts
from service.store import deliveries, jobs, lanes, subscriptions
from service.store.database import Tx

KIND = "recover"
BATCH = 500
"""Deliveries walked in one commit: some milliseconds."""


async def start(parts: Parts, app_id: str, subscription_id: int, since: int) -> Any:
    """The job. What happens after this is delivered anyway and is not part of it."""

    def act(tx: Tx) -> int:
        row = subscriptions.lock(tx, app_id, subscription_id)
        if row is None:
            raise NotFound("there is no such subscription")
        if row.status not in ("active", "paused"):
            raise Conflict(f"the subscription is {row.status}; resume it first")
        before = jobs.latest_of(tx.sql, subscription_id)
        if before is not None and before.state == "running":
            raise Conflict("it is being recovered already; look at its job")
        return jobs.add(tx, app_id, KIND, subscription_id, first_id_at(since) - 1, tx.ids.new())

    job_id = await parts.db.write(act)
    parts.janitor.bell.ring()
    return await parts.db.read(lambda sql: jobs.by_id(sql, app_id, job_id))


def batch(tx: Tx, _: Parts, job: Any) -> None:
    sub = subscriptions.by_id(tx.sql, job.app_id, job.subscription_id)
    if sub is None or sub.status not in ("active", "paused"):
        jobs.stop(tx, job.id, f"the subscription is {'gone' if sub is None else sub.status}")
        return
    seen, again, place = deliveries.recover(tx, job.subscription_id, job.place, job.last, BATCH)
    jobs.advance(tx, job, seen, again, place if seen == BATCH else None)
    if again and sub.status == "active":
        lanes.touch(tx, {job.subscription_id: tx.now})
