"""What is kept for how long: bounded sweeps, a part at a time and never more than half of the time, so that cleaning
holds up nobody."""

import asyncio
import logging
from collections.abc import Callable, Iterator

from service.domain.keep import before
from service.parts import Parts
from service.store import retention
from service.store.database import Tx

log = logging.getLogger("callsheet.retain")

BATCH = 500
"""Rows of one commit: some milliseconds, in which nobody else writes on SQLite."""
TASK_BATCH = 100
"""Each takes about twenty rows of others with it."""
BUDGET_S = 5.0
"""Of one sweep; the next goes on where this one ended."""

Part = Callable[[Tx], tuple[int, bool]]
"""Drops some rows: how many, and whether there may be more."""


async def sweep(parts: Parts, budget_s: float = BUDGET_S) -> bool:
    """True: there is more."""
    clock = asyncio.get_running_loop().time
    end = clock() + budget_s
    dropped: dict[str, int] = {}
    more = False
    for name, part in _parts(parts):
        while True:
            began = clock()
            if began >= end:
                more = True
                break
            count, again = await parts.db.write(part)
            dropped[name] = dropped.get(name, 0) + count
            if not again:
                break
            await asyncio.sleep(clock() - began)  # as long as it took: half of the time is for everybody else
    if any(dropped.values()):
        log.info("retain.swept", extra={name: count for name, count in dropped.items() if count} | {"more": more})
    return more


def _parts(parts: Parts) -> Iterator[tuple[str, Part]]:
    keep, now = parts.keep, parts.clock()
    yield "keys", _plain(retention.drop_keys, before(now, keep.keys))
    yield "attempts", _stepping(retention.drop_attempts, before(now, keep.attempts), BATCH)
    yield "receipts", _stepping(retention.drop_receipts, before(now, keep.receipts), BATCH)
    yield "payloads", _stepping(retention.drop_orders, before(now, keep.payloads), BATCH)
    yield "events", _stepping(retention.drop_events, before(now, keep.events), BATCH)
    yield "tasks", _stepping(retention.drop_tasks, before(now, keep.tasks), TASK_BATCH)
    yield "subscriptions", _plain(retention.drop_subscriptions, before(now, keep.events))
    yield "jobs", _plain(retention.drop_jobs, before(now, keep.events))


def _plain(drop: Callable[[Tx, int, int], int], at: int) -> Part:
    def part(tx: Tx) -> tuple[int, bool]:
        count = drop(tx, at, BATCH)
        return count, count >= BATCH

    return part


def _stepping(drop: Callable[[Tx, int, int, int], tuple[int, int]], at: int, most: int) -> Part:
    """What stays (open tasks, what is still to be told or too new) is stepped over within one sweep."""
    place = 0

    def part(tx: Tx) -> tuple[int, bool]:
        nonlocal place
        count, place = drop(tx, at, most, place)
        return count, place > 0

    return part
