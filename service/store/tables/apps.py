"""Who may call."""

from sqlalchemy import String
from sqlmodel import Field, SQLModel

from service.store.tables.columns import big, blob, row_key, words


class App(SQLModel, table=True):
    id: str = Field(sa_type=String, primary_key=True)
    label: str = words()
    weight: int = 1
    sealed: bytes = blob()
    """The secret that signs the notices of per-task callback URLs."""
    created_at: int = big()


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_key"
    id: int = row_key()
    app_id: str = Field(sa_type=String, index=True)
    prefix: str = Field(sa_type=String, unique=True)
    digest: bytes = blob()
    scopes: str = words()
    label: str = words()
    created_at: int = big()
    revoked_at: int | None = big(null=True)
