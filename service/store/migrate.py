"""Migrations: forward only, run by `callsheet migrate` (the release step), or by `serve` for an embedded database.

Alembic with no configuration file: everything it needs is handed in.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

from service.domain.errors import ConfigError, Fault
from service.store.database import Database
from service.store.postgres import async_url

SCRIPTS = Path(__file__).parent / "migrations"
LOCK = 4_242_001
"""PostgreSQL advisory lock: two release steps at once migrate one after the other."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def current(sql: Connection) -> str | None:
    return MigrationContext.configure(sql).get_current_revision()


def upgrade(sql: Connection) -> None:
    """On an open connection; commits."""
    if sql.dialect.name == "postgresql":
        sql.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    command.upgrade(_config(sql), "head")
    sql.commit()


def to_head_sqlite(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", poolclass=pool.NullPool)
    with engine.connect() as sql:
        sql.exec_driver_sql("PRAGMA journal_mode=WAL")
        sql.commit()
        upgrade(sql)
    engine.dispose()


async def to_head_postgres(url: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(async_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


def at_sqlite(path: str) -> str | None:
    engine = create_engine(f"sqlite:///{path}", poolclass=pool.NullPool)
    with engine.connect() as sql:
        return current(sql)


async def at_postgres(url: str) -> str | None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(async_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        return await connection.run_sync(current)


async def require_head(db: Database) -> None:
    """A process never runs on a schema it was not written for."""
    found = await db.read(current)
    if found != head():
        raise ConfigError(
            [Fault("CALLSHEET_DATABASE_URL", f"the schema is at {found}, this version needs {head()}; run: callsheet migrate")]
        )
