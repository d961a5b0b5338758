"""Migrations: forward only, run by `callsheet migrate` (the release step), or by `serve` for an embedded database.

Alembic with no configuration file: everything it needs is handed in. It is imported only when there is something to
migrate: that is a third of a second of every other start.
"""

from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.domain.errors import ConfigError, Fault
from service.store.database import Database
from service.store.postgres import NAMELESS, async_url

SCRIPTS = Path(__file__).parent / "migrations"
LOCK = 4_242_001
"""PostgreSQL advisory lock: two release steps at once migrate one after the other."""


def head() -> str:
    """The files are named by their revisions, which count up; a test holds that Alembic sees the same head."""
    return max(path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*_*.py"))


def current(sql: Connection) -> str | None:
    if not inspect(sql).has_table("alembic_version"):
        return None
    found: str | None = sql.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return found


def upgrade(sql: Connection) -> None:
    """On an open connection; commits."""
    if sql.dialect.name == "postgresql":
        sql.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    if current(sql) != head():
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(SCRIPTS))
        config.attributes["connection"] = sql
        command.upgrade(config, "head")
    sql.commit()


def to_head_sqlite(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", poolclass=pool.NullPool)
    with engine.connect() as sql:
        sql.exec_driver_sql("PRAGMA journal_mode=WAL")
        sql.commit()
        upgrade(sql)
    engine.dispose()


async def to_head_postgres(url: str, pooled: bool = False) -> None:
    engine = _patient(url, pooled)
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


def at_sqlite(path: str) -> str | None:
    engine = create_engine(f"sqlite:///{path}", poolclass=pool.NullPool)
    with engine.connect() as sql:
        return current(sql)


async def at_postgres(url: str, pooled: bool = False) -> str | None:
    engine = _patient(url, pooled)
    async with engine.connect() as connection:
        return await connection.run_sync(current)


def _patient(url: str, pooled: bool) -> AsyncEngine:
    """With none of the service's timeouts: a step over a large table takes as long as it takes."""
    return create_async_engine(async_url(url), poolclass=pool.NullPool, connect_args=dict(NAMELESS) if pooled else {})


async def require_head(db: Database) -> None:
    """A process never runs on a schema it was not written for."""
    found = await db.read(current)
    if found != head():
        raise ConfigError(
            [Fault("CALLSHEET_DATABASE_URL", f"the schema is at {found}, this version needs {head()}; run: callsheet migrate")]
        )
