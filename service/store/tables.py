"""The tables. One schema for both engines; instants are integer milliseconds, names of rows 63-bit integers.

Rows that are claimed carry one timestamp that says who may act and when, under a partial index that holds nothing but
open work: a million finished rows cost the claim nothing. On PostgreSQL every change leaves a dead row behind: pages have
room for the next version, and are swept long before a fifth of them is dead.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Text, text
from sqlmodel import Field, SQLModel

Big = BigInteger().with_variant(Integer(), "sqlite")


def _key() -> Any:
    return Field(sa_column=Column(Big, primary_key=True, autoincrement=False))


def _big(null: bool = False, index: bool = False) -> Any:
    return Field(sa_column=Column(Big, nullable=null, index=index), default=None) if null else Field(sa_type=Big, index=index)


def _words(null: bool = False) -> Any:
    return Field(sa_column=Column(Text, nullable=null), default=None) if null else Field(sa_type=Text)


def _bytes(null: bool = False) -> Any:
    return Field(sa_column=Column(LargeBinary, nullable=null), default=None) if null else Field(sa_type=LargeBinary)


CHANGING: dict[str, Any] = {
    "postgresql_with": {
        "fillfactor": 80,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_analyze_scale_factor": 0.02,
        "autovacuum_vacuum_cost_delay": 0,
    }
}
"""Large tables whose newest rows change a few times and then rest."""
BUSY: dict[str, Any] = {
    "postgresql_with": {
        "fillfactor": 50,
        "autovacuum_vacuum_threshold": 500,
        "autovacuum_vacuum_scale_factor": 0.0,
        "autovacuum_analyze_scale_factor": 0.1,
        "autovacuum_vacuum_cost_delay": 0,
    }
}
"""Few rows that change all the time, walked by every claim: swept by the number of changes."""
GROWING: dict[str, Any] = {
    "postgresql_with": {"autovacuum_vacuum_insert_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.02}
}
"""Written once, read for a while, and dropped at the old end."""


class App(SQLModel, table=True):
    id: str = Field(sa_type=String, primary_key=True)
    label: str = _words()
    weight: int = 1
    sealed: bytes = _bytes()
    """The secret that signs the notices of per-task callback URLs."""
    created_at: int = _big()


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_key"
    id: int = _key()
    app_id: str = Field(sa_type=String, index=True)
    prefix: str = Field(sa_type=String, unique=True)
    digest: bytes = _bytes()
    scopes: str = _words()
    label: str = _words()
    created_at: int = _big()
    revoked_at: int | None = _big(null=True)


class Task(SQLModel, table=True):
    __table_args__ = (
        Index("task_by_app", "app_id", "id"),
        Index("task_by_state", "app_id", "state", "id"),
        Index(
            "task_to_place",
            "place_at",
            sqlite_where=text("place_at IS NOT NULL"),
            postgresql_where=text("place_at IS NOT NULL"),
        ),
        Index(
            "task_waiting",
            "app_id",
            "route",
            "rank",
            "id",
            sqlite_where=text("place_at IS NOT NULL"),
            postgresql_where=text("place_at IS NOT NULL"),
        ),
        Index(
            "task_running_out",
            "deadline_at",
            sqlite_where=text("place_at IS NOT NULL"),
            postgresql_where=text("place_at IS NOT NULL"),
        ),
        Index(
            "task_to_ask",
            "provider",
            "account",
            "poll_at",
            sqlite_where=text("poll_at IS NOT NULL"),
            postgresql_where=text("poll_at IS NOT NULL"),
        ),
        Index(
            "task_in_flight",
            "provider",
            "account",
            "app_id",
            "submission_id",
            "ended_at",
            sqlite_where=text("submission_id IS NOT NULL AND ended_at IS NULL"),
            postgresql_where=text("submission_id IS NOT NULL AND ended_at IS NULL"),
        ),
        CHANGING,
    )
    id: int = _key()
    app_id: str = Field(sa_type=String)
    state: str = Field(sa_type=String)
    reason: str | None = _words(null=True)
    sequence: int
    model: str = Field(sa_type=String)
    provider: str | None = Field(sa_type=String, default=None)
    submission_id: int | None = _big(null=True)
    remote_id: str | None = _words(null=True)
    order: str = _words()
    metadata_: str = Field(sa_column=Column("metadata", Text, nullable=False))
    result: str | None = _words(null=True)
    tokens: int | None = _big(null=True)
    estimated_tokens: int | None = _big(null=True)
    error: str | None = _words(null=True)
    flags: str | None = _words(null=True)
    created_at: int = _big()
    updated_at: int = _big()
    news_at: int = _big()
    ended_at: int | None = _big(null=True)
    deadline_at: int = _big()
    place_at: int | None = _big(null=True)
    poll_at: int | None = _big(null=True)
    tries: int
    asks: int
    polls: int
    missing: int
    missing_at: int | None = _big(null=True)
    receipts: int
    account: str | None = Field(sa_type=String, default=None)
    route: str = Field(sa_type=String, default="")
    rank: int = 9
    started_at: int | None = _big(null=True)


class TaskOrder(SQLModel, table=True):
    """The whole order as it is placed, inline media included; apart from the rows that are listed."""

    __table_args__ = GROWING
    __tablename__ = "task_order"
    task_id: int = _key()
    app_id: str = Field(sa_type=String)
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    """Of the order: an equal one soon after is suspected to be a repetition."""
    created_at: int = _big()
    body: bytes = _bytes()


class TaskLabel(SQLModel, table=True):
    """The caller's metadata, to be found by."""

    __table_args__ = GROWING
    __tablename__ = "task_label"
    app_id: str = Field(sa_type=String, primary_key=True)
    name: str = Field(sa_type=String, primary_key=True)
    value: str = Field(sa_type=String, primary_key=True)
    task_id: int = _key()


class Idempotency(SQLModel, table=True):
    __tablename__ = "idempotency"
    app_id: str = Field(sa_type=String, primary_key=True)
    key: str = Field(sa_type=String, primary_key=True)
    digest: bytes = _bytes()
    """Of the body it came with."""
    task_id: int = _big()
    created_at: int = _big(index=True)


class Submission(SQLModel, table=True):
    __table_args__ = (
        Index("submission_by_task", "task_id", "number", unique=True),
        # The address is part of the name: two accounts of one gateway share it, two gateways may count alike.
        Index("submission_by_remote_id", "remote_id", "provider", "base_url", unique=True),
        Index(
            "submission_open",
            "provider",
            "account",
            sqlite_where=text("outcome IN ('sending', 'unknown')"),
            postgresql_where=text("outcome IN ('sending', 'unknown')"),
        ),
        CHANGING,
    )
    id: int = _key()
    task_id: int = _big()
    app_id: str = Field(sa_type=String)
    number: int
    provider: str = Field(sa_type=String)
    account: str = Field(sa_type=String)
    base_url: str = _words()
    outcome: str = Field(sa_type=String)
    remote_id: str | None = Field(sa_type=String, default=None)
    reason: str | None = _words(null=True)
    sent_at: int = _big()
    answered_at: int | None = _big(null=True)
    conflict_at: int | None = _big(null=True)
    timed: bool = False
    cancel_until: int | None = _big(null=True)
    """Somebody cancels it at its provider at this moment, and until then nobody else does."""


class Receipt(SQLModel, table=True):
    """A report as it arrived: a callback, or the answer to a question that taught us something."""

    __table_args__ = (Index("receipt_by_task", "task_id", "id"), GROWING)
    id: int = _key()
    app_id: str = Field(sa_type=String)
    task_id: int = _big()
    submission_id: int = _big()
    provider: str = Field(sa_type=String)
    source: str = Field(sa_type=String)
    verdict: str = Field(sa_type=String)
    """advance, duplicate, late, conflict, unconfirmed; unreadable; unknown_status; or what a question came to."""
    word: str | None = _words(null=True)
    at: int = _big()
    body: bytes | None = _bytes(null=True)
    """As it came. Null: forgotten, or there was none. With its row, since a table of its own costs every callback one more
    row, and receipts are only ever listed for one task."""


class Event(SQLModel, table=True):
    """One thing that happened: a task's transition (it has a sequence) or an operational event. Its body is the notice,
    made once, so that every attempt and every reader gets the same bytes."""

    __table_args__ = (
        Index("event_by_task", "task_id", "sequence", unique=True),
        Index("event_by_app", "app_id", "xact", "id"),
        # SQLite needs no second order of everything (see `xact`): there nothing is in it.
        Index("event_in_order", "xact", "id", sqlite_where=text("xact > 0")),
        GROWING,
    )
    id: int = _key()
    xact: int = _big()
    """The transaction that wrote it (PostgreSQL; 0 on SQLite, where the order of ids is the order of commits): the feed
    reads only below the oldest one still open, so that it can never step over an event that commits late."""
    app_id: str = Field(sa_type=String)
    task_id: int | None = _big(null=True)
    sequence: int | None = Field(default=None)
    type: str = Field(sa_type=String)
    state: str | None = Field(sa_type=String, default=None)
    previous: str | None = Field(sa_type=String, default=None)
    source: str = Field(sa_type=String)
    at: int = _big()
    body: bytes = _bytes()


class SeenWord(SQLModel, table=True):
    """Status words that nobody knows, and second names of one job, so that each is alerted once."""

    __tablename__ = "seen_word"
    provider: str = Field(sa_type=String, primary_key=True)
    word: str = Field(sa_type=String, primary_key=True)
    at: int = _big()


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
    id: int = _key()
    app_id: str = Field(sa_type=String)
    task_id: int | None = _big(null=True)
    """Set: the order's own callback_url, for this one task."""
    channel: str = Field(sa_type=String)
    target: str = _words()
    """As people may see it."""
    sealed: bytes = _bytes()
    """Encrypted: the target's URL, its secrets and headers."""
    events: str = _words()
    filter: str = _words()
    options: str = _words()
    rate: int | None = Field(default=None)
    """Notices a second."""
    concurrency: int | None = Field(default=None)
    schedule: str | None = _words(null=True)
    """JSON list of seconds before each retry; null: as everybody's."""
    publics: str | None = _words(null=True)
    """JSON list of [public key, until when it is still published, or null]; null: it signs with a shared secret."""
    pace_id: int | None = _big(null=True)
    """Of the address, for channels where all that write to one address have to share its pace."""
    label: str = _words()
    status: str = Field(sa_type=String)
    """active, paused, disabled, deleted."""
    reason: str | None = _words(null=True)
    status_at: int = _big()
    failing_since: int | None = _big(null=True)
    created_at: int = _big()
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
    id: int = _key()
    due_at: int | None = _big(null=True)
    """Look into it then; never later than its first delivery is due, unless it is held. Null: nothing waits, or paused."""
    idle_ms: int
    """The pause after a look that found nothing, doubled by each: a transaction may be under way that adds to it."""
    failures: int
    """In a row."""
    held_until: int = _big()
    """The subscriber asked for a pause, or its breaker is open."""
    failed_at: int = _big()
    """When an attempt failed last."""
    spent_until: int = _big()
    """Its rate is used up until then, one second's worth ahead at most."""
    abandoned: int
    """Deliveries given up and not told of yet."""
    abandoned_at: int = _big()
    """When that was told last."""


class Pace(SQLModel, table=True):
    """An address that takes one message at a time, shared by the subscriptions that lead to it."""

    __table_args__ = BUSY
    id: int = _key()
    """A digest of the address."""
    next_at: int = _big()


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
    id: int = _key()
    app_id: str = Field(sa_type=String)
    event_id: int = _big()
    subscription_id: int = _big()
    state: str = Field(sa_type=String)
    """pending, delivered, abandoned, skipped."""
    attempts: int
    spent: int = 0
    """Attempts made before it was last sent again on request: they take no step of the schedule any more."""
    fence: int
    """Grows with every claim: whoever settles with an older one has lost his lease."""
    hurried: bool = False
    """An extra attempt was made at once after the first connection failed; it takes no step of the schedule."""
    due_at: int | None = _big(null=True)
    """Pending: try then. In the past it waits for its lane's turn; a lease ends in the future."""
    created_at: int = _big()
    ended_at: int | None = _big(null=True)
    recovered: bool = False
    """Old news, sent again on request: it waits with what failed before, also if it was never tried."""


class Attempt(SQLModel, table=True):
    __table_args__ = GROWING
    delivery_id: int = _key()
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    app_id: str = Field(sa_type=String)
    outcome: str = Field(sa_type=String)
    status: str | None = Field(sa_type=String, default=None)
    error: str | None = _words(null=True)
    elapsed_ms: int
    answer: bytes | None = _bytes(null=True)
    """The first 4 KiB."""
    at: int = _big()


class AccountState(SQLModel, table=True):
    """What is known of one account beyond its configuration, shared by all processes and kept over restarts."""

    __table_args__ = BUSY
    __tablename__ = "account"
    provider: str = Field(sa_type=String, primary_key=True)
    name: str = Field(sa_type=String, primary_key=True)
    failures: int = 0
    open_until: int | None = _big(null=True)
    probed_at: int | None = _big(null=True)
    """Its breaker."""
    asking_until: int = _big()
    """One process at a time asks it; and nobody before then."""
    list_at: int = _big()
    get_at: int = _big()
    """When its limits allow the next question about many tasks, about one."""
    silent_count: int = 0
    """Turns in a row in which it did not answer."""


class Identity(SQLModel, table=True):
    """One row: the name that this database got when it was first used, so that two of them can be told apart."""

    id: int = _key()
    name: str = _words()


class Tally(SQLModel, table=True):
    """Running totals of one account. What orders came to is counted in the transaction that records it; the rest every second,
    so that the last one before a crash may be missing."""

    __table_args__ = BUSY
    provider: str = Field(sa_type=String, primary_key=True)
    account: str = Field(sa_type=String, primary_key=True)
    what: str = Field(sa_type=String, primary_key=True)
    count: int = _big()


class Sample(SQLModel, table=True):
    """How long tasks stayed silent in one state: counters of buckets of durations."""

    __table_args__ = BUSY
    provider: str = Field(sa_type=String, primary_key=True)
    model: str = Field(sa_type=String, primary_key=True)
    state: str = Field(sa_type=String, primary_key=True)
    bucket: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    count: int = _big()


class Job(SQLModel, table=True):
    """Long work on request (`recover`, `forget`), done a batch at a time; a batch and its progress are one commit."""

    __table_args__ = (
        Index("job_due", "due_at", sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")),
        Index("job_by_app", "app_id", "id"),
        Index("job_by_subscription", "subscription_id", "id"),
        BUSY,
    )
    id: int = _key()
    app_id: str = Field(sa_type=String)
    kind: str = Field(sa_type=String)
    subscription_id: int | None = _big(null=True)
    place: int = _big()
    """Everything up to this id is done."""
    last: int = _big()
    """It ends at this id: what came after the request is not part of it."""
    seen: int
    done: int
    state: str = Field(sa_type=String)
    """running, done, stopped."""
    reason: str | None = _words(null=True)
    due_at: int | None = _big(null=True)
    created_at: int = _big()
    ended_at: int | None = _big(null=True)


class Era(SQLModel, table=True):
    """What is added to PostgreSQL's numbers of transactions, which begin anew on another server: places in the feed go on
    growing when the data moves. No row: nothing."""

    id: int = _key()
    base: int = _big()


class Pulse(SQLModel, table=True):
    """Proof that the database takes writes, for `/readyz`; one row per process name."""

    __table_args__ = BUSY
    name: str = Field(sa_type=String, primary_key=True)
    at: int = _big()


metadata = SQLModel.metadata
TABLES = {table.name: table for table in metadata.sorted_tables}
