"""Tasks: what was ordered, where it was placed, and what providers said of it."""

from sqlalchemy import Column, Index, LargeBinary, String, Text, text
from sqlmodel import Field, SQLModel

from service.store.tables.columns import CHANGING, GROWING, big, blob, row_key, words


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
    id: int = row_key()
    app_id: str = Field(sa_type=String)
    state: str = Field(sa_type=String)
    reason: str | None = words(null=True)
    sequence: int
    model: str = Field(sa_type=String)
    provider: str | None = Field(sa_type=String, default=None)
    submission_id: int | None = big(null=True)
    remote_id: str | None = words(null=True)
    order: str = words()
    metadata_: str = Field(sa_column=Column("metadata", Text, nullable=False))
    result: str | None = words(null=True)
    tokens: int | None = big(null=True)
    estimated_tokens: int | None = big(null=True)
    error: str | None = words(null=True)
    flags: str | None = words(null=True)
    created_at: int = big()
    updated_at: int = big()
    news_at: int = big()
    ended_at: int | None = big(null=True)
    deadline_at: int = big()
    place_at: int | None = big(null=True)
    poll_at: int | None = big(null=True)
    tries: int
    asks: int
    polls: int
    missing: int
    missing_at: int | None = big(null=True)
    receipts: int
    account: str | None = Field(sa_type=String, default=None)
    route: str = Field(sa_type=String, default="")
    rank: int = 9
    started_at: int | None = big(null=True)


class TaskOrder(SQLModel, table=True):
    """The whole order as it is placed, inline media included; apart from the rows that are listed."""

    __table_args__ = GROWING
    __tablename__ = "task_order"
    task_id: int = row_key()
    app_id: str = Field(sa_type=String)
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    """Of the order: an equal one soon after is suspected to be a repetition."""
    created_at: int = big()
    body: bytes = blob()


class TaskLabel(SQLModel, table=True):
    """The caller's metadata, to be found by."""

    __table_args__ = GROWING
    __tablename__ = "task_label"
    app_id: str = Field(sa_type=String, primary_key=True)
    name: str = Field(sa_type=String, primary_key=True)
    value: str = Field(sa_type=String, primary_key=True)
    task_id: int = row_key()


class Idempotency(SQLModel, table=True):
    __tablename__ = "idempotency"
    app_id: str = Field(sa_type=String, primary_key=True)
    key: str = Field(sa_type=String, primary_key=True)
    digest: bytes = blob()
    """Of the body it came with."""
    task_id: int = big()
    created_at: int = big(index=True)


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
        Index(
            "submission_contested",
            "provider",
            sqlite_where=text("aliases <> ''"),
            postgresql_where=text("aliases <> ''"),
        ),
        CHANGING,
    )
    id: int = row_key()
    task_id: int = big()
    app_id: str = Field(sa_type=String)
    number: int
    provider: str = Field(sa_type=String)
    account: str = Field(sa_type=String)
    base_url: str = words()
    outcome: str = Field(sa_type=String)
    remote_id: str | None = Field(sa_type=String, default=None)
    reason: str | None = words(null=True)
    sent_at: int = big()
    answered_at: int | None = big(null=True)
    conflict_at: int | None = big(null=True)
    timed: bool = False
    aliases: str | None = words(null=True)
    cancel_until: int | None = big(null=True)
    """Somebody cancels it at its provider at this moment, and until then nobody else does."""


class Receipt(SQLModel, table=True):
    """A report as it arrived: a callback, or the answer to a question that taught us something."""

    __table_args__ = (Index("receipt_by_task", "task_id", "id"), GROWING)
    id: int = row_key()
    app_id: str = Field(sa_type=String)
    task_id: int = big()
    submission_id: int = big()
    provider: str = Field(sa_type=String)
    source: str = Field(sa_type=String)
    verdict: str = Field(sa_type=String)
    """advance, duplicate, late, conflict, unconfirmed; unreadable; unknown_status; or what a question came to."""
    word: str | None = words(null=True)
    at: int = big()
    body: bytes | None = blob(null=True)
    """As it came. Null: forgotten, or there was none. With its row, since a table of its own costs every callback one more
    row, and receipts are only ever listed for one task."""
