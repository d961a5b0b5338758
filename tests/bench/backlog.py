"""What a drained backlog looks like in the database."""

from sqlalchemy import Connection, text

_OPEN = text(
    "SELECT EXISTS (SELECT 1 FROM delivery WHERE due_at IS NOT NULL AND attempts = 0 AND NOT recovered)"
    " OR EXISTS (SELECT 1 FROM delivery WHERE due_at IS NOT NULL AND attempts > 0)"
)
"""As the partial indexes have it: a look costs the same however much was delivered before."""
_TOLD = text(
    "SELECT count(*) AS deliveries, count(a.delivery_id) AS attempts FROM delivery d"
    " LEFT JOIN attempt a ON a.delivery_id = d.id AND a.number = d.attempts AND d.state = 'delivered'"
)


def settled(sql: Connection) -> bool:
    return not sql.execute(_OPEN).scalar_one()


def told(sql: Connection) -> tuple[int, int]:
    """(deliveries, those of them that are delivered and have the row of their last attempt)."""
    deliveries, attempts = sql.execute(_TOLD).one()
    return int(deliveries), int(attempts)
