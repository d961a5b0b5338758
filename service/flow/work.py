"""Long work on request, one batch at a time: whoever is free takes a job's next batch, and a restart goes on where it was."""

from collections.abc import Callable, Mapping
from typing import Any

from service.flow import forget, recover, reencrypt
from service.flow.recall import tell_others
from service.parts import Parts
from service.store import jobs
from service.store.database import Tx

BATCHES: Mapping[str, Callable[[Tx, Parts, Any], None]] = {
    recover.KIND: recover.batch,
    forget.KIND: forget.batch,
    reencrypt.KIND: reencrypt.batch,
}


async def step(parts: Parts) -> bool:
    """The next batch of one job. False: there is no job."""

    def act(tx: Tx) -> bool:
        job = jobs.take(tx)
        if job is None:
            return False
        BATCHES[job.kind](tx, parts, job)
        return True

    worked = await parts.db.write(act)
    if worked:
        tell_others(parts)  # a recovery has something to send, and what was forgotten must not be
    return worked
