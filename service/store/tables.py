"""The tables. One schema for both engines; instants are integer milliseconds, names of rows 63-bit integers.

Rows that are claimed carry one timestamp that says who may act and when, under a partial index that holds nothing but
open work: a million finished rows cost the claim nothing.
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
        Index("task_to_ask", "poll_at", sqlite_where=text("poll_at IS NOT NULL"), postgresql_where=text("poll_at IS NOT NULL")),
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


class TaskOrder(SQLModel, table=True):
    """The whole order as it is placed, inline media included; apart from the rows that are listed."""

    __tablename__ = "task_order"
    task_id: int = _key()
    app_id: str = Field(sa_type=String)
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    """Of the order: an equal one soon after is suspected to be a repetition."""
    created_at: int = _big()
    body: bytes = _bytes()


class TaskLabel(SQLModel, table=True):
    """The caller's metadata, to be found by."""

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
        Index("submission_by_remote_id", "provider", "remote_id"),
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


class Receipt(SQLModel, table=True):
    """A report as it arrived: a callback, or the answer to a question that taught us something."""

    __table_args__ = (Index("receipt_by_task", "task_id", "id"),)
    id: int = _key()
    app_id: str = Field(sa_type=String)
    task_id: int = _big()
    submission_id: int = _big()
    provider: str = Field(sa_type=String)
    source: str = Field(sa_type=String)
    verdict: str = Field(sa_type=String)
    """advance, duplicate, late, conflict; unreadable; unknown_status; or what a question came to."""
    word: str | None = _words(null=True)
    at: int = _big()


class ReceiptBody(SQLModel, table=True):
    __tablename__ = "receipt_body"
    receipt_id: int = _key()
    body: bytes = _bytes()


class Event(SQLModel, table=True):
    """One thing that happened: a task's transition (it has a sequence) or an operational event. Its body is the notice,
    made once, so that every attempt and every reader gets the same bytes."""

    __table_args__ = (
        Index("event_by_task", "task_id", "sequence", unique=True),
        Index("event_by_app", "app_id", "xact", "id"),
        Index("event_in_order", "xact", "id"),
    )
    id: int = _key()
    xact: int = _big()
    """The transaction that wrote it (PostgreSQL; 0 on SQLite): the feed reads only below the oldest one still open, so
    that it can never step over an event that commits late."""
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
    """Status words that nobody knows, so that each is alerted once."""

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
    concurrency: int | None = Field(default=None)
    label: str = _words()
    status: str = Field(sa_type=String)
    """active, paused, disabled, deleted."""
    reason: str | None = _words(null=True)
    status_at: int = _big()
    failing_since: int | None = _big(null=True)
    created_at: int = _big()
    version: int = 1
    """Grows with every change, so that what couriers keep in memory is known to be old."""


class Delivery(SQLModel, table=True):
    __table_args__ = (
        Index("delivery_once", "event_id", "subscription_id", unique=True),
        Index("delivery_by_app", "app_id", "id"),
        Index("delivery_by_subscription", "subscription_id", "id"),
        Index("delivery_due", "due_at", sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")),
    )
    id: int = _key()
    app_id: str = Field(sa_type=String)
    event_id: int = _big()
    subscription_id: int = _big()
    state: str = Field(sa_type=String)
    """pending, delivered, abandoned, skipped."""
    attempts: int
    fence: int
    """Grows with every claim: whoever settles with an older one has lost his lease."""
    hurried: bool = False
    """An extra attempt was made at once after the first connection failed; it takes no step of the schedule."""
    due_at: int | None = _big(null=True)
    created_at: int = _big()
    ended_at: int | None = _big(null=True)


class Attempt(SQLModel, table=True):
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


class Pulse(SQLModel, table=True):
    """Proof that the database takes writes, for `/readyz`; one row per process name."""

    name: str = Field(sa_type=String, primary_key=True)
    at: int = _big()


metadata = SQLModel.metadata
TABLES = {table.name: table for table in metadata.sorted_tables}
