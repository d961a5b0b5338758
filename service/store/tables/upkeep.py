"""Of the database itself, and long work in it."""

from sqlalchemy import Index, String, text
from sqlmodel import Field, SQLModel

from service.store.tables.columns import BUSY, big, row_key, words


class Identity(SQLModel, table=True):
    """One row: the name that this database got when it was first used, so that two of them can be told apart."""

    id: int = row_key()
    name: str = words()


class Job(SQLModel, table=True):
    """Long work on request (`recover`, `forget`), done a batch at a time; a batch and its progress are one commit."""

    __table_args__ = (
        Index("job_due", "due_at", sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")),
        Index("job_by_app", "app_id", "id"),
        Index("job_by_subscription", "subscription_id", "id"),
        BUSY,
    )
    id: int = row_key()
    app_id: str = Field(sa_type=String)
    kind: str = Field(sa_type=String)
    subscription_id: int | None = big(null=True)
    place: int = big()
    """Everything up to this id is done."""
    last: int = big()
    """It ends at this id: what came after the request is not part of it."""
    seen: int
    done: int
    state: str = Field(sa_type=String)
    """running, done, stopped."""
    reason: str | None = words(null=True)
    due_at: int | None = big(null=True)
    created_at: int = big()
    ended_at: int | None = big(null=True)


class Era(SQLModel, table=True):
    """What is added to PostgreSQL's numbers of transactions, which begin anew on another server: places in the feed go on
    growing when the data moves. No row: nothing."""

    id: int = row_key()
    base: int = big()


class Pulse(SQLModel, table=True):
    """Proof that the database takes writes, for `/readyz`; one row per process name."""

    __table_args__ = BUSY
    name: str = Field(sa_type=String, primary_key=True)
    at: int = big()
