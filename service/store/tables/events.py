"""What happened."""

from sqlalchemy import Index, String, text
from sqlmodel import Field, SQLModel

from service.store.tables.columns import GROWING, big, blob, row_key


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
    id: int = row_key()
    xact: int = big()
    """The transaction that wrote it (PostgreSQL; 0 on SQLite, where the order of ids is the order of commits): the feed
    reads only below the oldest one still open, so that it can never step over an event that commits late."""
    app_id: str = Field(sa_type=String)
    task_id: int | None = big(null=True)
    sequence: int | None = Field(default=None)
    type: str = Field(sa_type=String)
    state: str | None = Field(sa_type=String, default=None)
    previous: str | None = Field(sa_type=String, default=None)
    source: str = Field(sa_type=String)
    at: int = big()
    body: bytes = blob()


class SeenWord(SQLModel, table=True):
    """Status words that nobody knows, and second names of one job, so that each is alerted once."""

    __tablename__ = "seen_word"
    provider: str = Field(sa_type=String, primary_key=True)
    word: str = Field(sa_type=String, primary_key=True)
    at: int = big()
