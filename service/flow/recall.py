"""Recall: a subscription has changed or a task was forgotten, and what is in hand was claimed as it was before.

None of that is sent any more: it is given back, and claimed again as things are now, if anything is still to be told. What
this process has in hand it knows; the others are told to look.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from service.domain.due import LEASE_MS, Due
from service.parts import Parts
from service.store import deliveries, subscriptions
from service.store.database import Tx


def recall(tx: Tx, parts: Parts, subscription_id: int) -> None:
    """Before the commit: recalled in vain, a delivery is given back and claimed again."""
    version = subscriptions.version(tx.sql, subscription_id)
    if version is not None:
        parts.recalled.add([(subscription_id, version)], tx.now, tx.now + LEASE_MS)


def tell_others(parts: Parts) -> None:
    """After the commit. A hint: whoever misses it reads a subscription again within seconds, and ends a lease within a minute."""
    parts.recall.tell()
    parts.courier.bell.ring()


async def look_again(parts: Parts, in_hand: Sequence[Due]) -> None:
    """Whatever of it is not as it was claimed any more is not sent."""
    if not in_hand:
        return

    def look(sql: Connection) -> tuple[dict[int, int], dict[int, int]]:
        names, told = [due.id for due in in_hand], {due.subscription_id for due in in_hand}
        return deliveries.fences(sql, names), subscriptions.versions(sql, told)

    fences, versions = await parts.db.read(look)
    now = parts.clock()
    moved = {due.id: fences.get(due.id, due.fence + 1) for due in in_hand}
    changed = {due.subscription_id: versions.get(due.subscription_id, due.version + 1) for due in in_hand}
    parts.withdrawn.add(moved.items(), now, now + LEASE_MS)
    parts.recalled.add(changed.items(), now, now + LEASE_MS)
