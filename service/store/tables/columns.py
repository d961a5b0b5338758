"""What the tables are made of: kinds of columns, and how PostgreSQL keeps tables of different habits clean."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text
from sqlmodel import Field

Big = BigInteger().with_variant(Integer(), "sqlite")


def row_key() -> Any:
    return Field(sa_column=Column(Big, primary_key=True, autoincrement=False))


def big(null: bool = False, index: bool = False) -> Any:
    return Field(sa_column=Column(Big, nullable=null, index=index), default=None) if null else Field(sa_type=Big, index=index)


def words(null: bool = False) -> Any:
    return Field(sa_column=Column(Text, nullable=null), default=None) if null else Field(sa_type=Text)


def blob(null: bool = False) -> Any:
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
