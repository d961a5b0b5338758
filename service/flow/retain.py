"""What is kept for how long: bounded sweeps, a few rows at a time, so that cleaning never holds up anybody."""

from service.parts import Parts
from service.store import tasks

KEY_LIVES_MS = 7 * 24 * 3_600_000
"""An Idempotency-Key is honoured for this long."""
BATCH = 500


async def sweep(parts: Parts) -> bool:
    """True: there is more."""
    before = parts.clock() - KEY_LIVES_MS
    return await parts.db.write(lambda tx: tasks.drop_old_keys(tx, before, BATCH)) >= BATCH
