"""Who wants to know, and the promises made to them."""

from sqlalchemy import Index, String, text
from sqlmodel import Field, SQLModel

from service.store.tables.columns import BUSY, CHANGING, GROWING, big, blob, row_key, words


class Subscription(SQLModel, table=True):
    __table_args__ = (
        Index(
            "subscription_by_app",
            "app_id",
            "id",
            sqlite_where=text("task_id IS NULL"),
            postgresql_where=text("task_id IS NULL"),
        ),
        Index(
            "subscription_by_task",
            "task_id",
            sqlite_where=text("task_id IS NOT NULL"),
            postgresql_where=text("task_id IS NOT NULL"),
        ),
        Index(
            "subscription_by_pace",
            "pace_id",
            sqlite_where=text("pace_id IS NOT NULL"),
            postgresql_where=text("pace_id IS NOT NULL"),
        ),
        Index(
            "subscription_deleted",
            "status_at",
            sqlite_where=text("status = 'deleted'"),
            postgresql_where=text("status = 'deleted'"),
        ),
        Index(
            "subscription_publics",
            "app_id",
            "id",
            sqlite_where=text("publics IS NOT NULL"),
            postgresql_where=text("publics IS NOT NULL"),
        ),
    )
    id: int = row_key()
    app_id: str = Field(sa_type=String)
    task_id: int | None = big(null=True)
    """Set: the order's own callback_url, for this one task."""
    channel: str = Field(sa_type=String)
    target: str = words()
    """As people may see it."""
    sealed: bytes = blob()
    """Encrypted: the target's URL, its secrets and headers."""
    events: str = words()
    filter: str = words()
    options: str = words()
    rate: int | None = Field(default=None)
    """Notices a second."""
    concurrency: int | None = Field(default=None)
    schedule: str | None = words(null=True)
    """JSON list of seconds before each retry; null: as everybody's."""
    publics: str | None = words(null=True)
    """JSON list of [public key, until when it is still published, or null]; null: it signs with a shared secret."""
    pace_id: int | None = big(null=True)
    """Of the address, for channels where all that write to one address have to share its pace."""
    label: str = words()
    status: str = Field(sa_type=String)
    """active, paused, disabled, deleted."""
    reason: str | None = words(null=True)
    status_at: int = big()
    failing_since: int | None = big(null=True)
    created_at: int = big()
    version: int = 1
    """Grows with every change, so that what couriers keep in memory is known to be old."""


class Lane(SQLModel, table=True):
    """Where the deliveries of one subscription wait for their turn; it has the subscription's id. Whoever claims, claims a
    turn of a lane: a lane that may not send (paused, held back, at its rate) is one row that is not due, however many
    deliveries wait in it."""

    __table_args__ = (
        Index("lane_due", "due_at", sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")),
        Index(
            "lane_untold",
            "abandoned_at",
            sqlite_where=text("abandoned > 0"),
            postgresql_where=text("abandoned > 0"),
        ),
        BUSY,
    )
    id: int = row_key()
    due_at: int | None = big(null=True)
    """Look into it then; never later than its first delivery is due, unless it is held. Null: nothing waits, or paused."""
    idle_ms: int
    """The pause after a look that found nothing, doubled by each: a transaction may be under way that adds to it."""
    failures: int
    """In a row."""
    held_until: int = big()
    """The subscriber asked for a pause, or its breaker is open."""
    failed_at: int = big()
    """When an attempt failed last."""
    spent_until: int = big()
    """Its rate is used up until then, one second's worth ahead at most."""
    abandoned: int
    """Deliveries given up and not told of yet."""
    abandoned_at: int = big()
    """When that was told last."""


class Pace(SQLModel, table=True):
    """An address that takes one message at a time, shared by the subscriptions that lead to it."""

    __table_args__ = BUSY
    id: int = row_key()
    """A digest of the address."""
    next_at: int = big()


class Delivery(SQLModel, table=True):
    __table_args__ = (
        Index("delivery_once", "event_id", "subscription_id", unique=True),
        Index("delivery_by_app", "app_id", "id"),
        Index("delivery_by_subscription", "subscription_id", "id"),
        Index(
            "delivery_fresh",
            "subscription_id",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL AND attempts = 0 AND NOT recovered"),
            postgresql_where=text("due_at IS NOT NULL AND attempts = 0 AND NOT recovered"),
        ),
        Index(
            "delivery_again",
            "subscription_id",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL AND (attempts > 0 OR recovered)"),
            postgresql_where=text("due_at IS NOT NULL AND (attempts > 0 OR recovered)"),
        ),
        Index(
            "delivery_undelivered",
            "app_id",
            "id",
            sqlite_where=text("state IN ('abandoned', 'skipped')"),
            postgresql_where=text("state IN ('abandoned', 'skipped')"),
        ),
        CHANGING,
    )
    id: int = row_key()
    app_id: str = Field(sa_type=String)
    event_id: int = big()
    subscription_id: int = big()
    state: str = Field(sa_type=String)
    """pending, delivered, abandoned, skipped."""
    attempts: int
    spent: int = 0
    """Attempts made before it was last sent again on request: they take no step of the schedule any more."""
    fence: int
    """Grows with every claim: whoever settles with an older one has lost his lease."""
    hurried: bool = False
    """An extra attempt was made at once after the first connection failed; it takes no step of the schedule."""
    due_at: int | None = big(null=True)
    """Pending: try then. In the past it waits for its lane's turn; a lease ends in the future."""
    created_at: int = big()
    ended_at: int | None = big(null=True)
    recovered: bool = False
    """Old news, sent again on request: it waits with what failed before, also if it was never tried."""


class Attempt(SQLModel, table=True):
    __table_args__ = GROWING
    delivery_id: int = row_key()
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    app_id: str = Field(sa_type=String)
    outcome: str = Field(sa_type=String)
    status: str | None = Field(sa_type=String, default=None)
    error: str | None = words(null=True)
    elapsed_ms: int
    answer: bytes | None = blob(null=True)
    """The first 4 KiB."""
    at: int = big()
