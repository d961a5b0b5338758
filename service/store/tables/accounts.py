"""What is known of the configured accounts, and counted of them."""

from sqlalchemy import String
from sqlmodel import Field, SQLModel

from service.store.tables.columns import BUSY, big


class AccountState(SQLModel, table=True):
    """What is known of one account beyond its configuration, shared by all processes and kept over restarts."""

    __table_args__ = BUSY
    __tablename__ = "account"
    provider: str = Field(sa_type=String, primary_key=True)
    name: str = Field(sa_type=String, primary_key=True)
    failures: int = 0
    open_until: int | None = big(null=True)
    probed_at: int | None = big(null=True)
    """Its breaker."""
    asking_until: int = big()
    """One process at a time asks it; and nobody before then."""
    list_at: int = big()
    get_at: int = big()
    """When its limits allow the next question about many tasks, about one."""
    silent_count: int = 0
    """Turns in a row in which it did not answer."""


class Share(SQLModel, table=True):
    """Of an app that has waited for an account: whose turn it is there, in that account's own time (`domain/sharing.py`)."""

    __table_args__ = BUSY
    __tablename__ = "share"
    provider: str = Field(sa_type=String, primary_key=True)
    account: str = Field(sa_type=String, primary_key=True)
    app_id: str = Field(sa_type=String, primary_key=True)
    ended: int = big()
    clock: int = big()
    """The account's, when this app last had its turn: the account's clock is the latest of them."""


class Tally(SQLModel, table=True):
    """Running totals of one account. What orders came to is counted in the transaction that records it; the rest every second,
    so that the last one before a crash may be missing."""

    __table_args__ = BUSY
    provider: str = Field(sa_type=String, primary_key=True)
    account: str = Field(sa_type=String, primary_key=True)
    what: str = Field(sa_type=String, primary_key=True)
    count: int = big()


class Sample(SQLModel, table=True):
    """How long tasks stayed silent in one state: counters of buckets of durations."""

    __table_args__ = BUSY
    provider: str = Field(sa_type=String, primary_key=True)
    model: str = Field(sa_type=String, primary_key=True)
    state: str = Field(sa_type=String, primary_key=True)
    bucket: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    count: int = big()
