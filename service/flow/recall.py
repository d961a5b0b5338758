"""Recall: a subscription has changed, and what this process holds of it in hand was claimed as it was before.

None of that is sent any more: it is given back, and claimed again as the subscription is now, if it still wants anything.
Absent on purpose: other processes. They look at a subscription again after `TARGET_MS` at the latest.
"""

from service.domain.due import LEASE_MS
from service.parts import Parts
from service.store import deliveries
from service.store.database import Tx


def recall(tx: Tx, parts: Parts, subscription_id: int) -> None:
    """Before the commit: recalled in vain, a delivery is given back and claimed again."""
    version = deliveries.version(tx.sql, subscription_id)
    if version is not None:
        parts.recalled.add([(subscription_id, version)], tx.now, tx.now + LEASE_MS)
