"""The schema that migrations make is the schema that the tables say, index by index, on both engines."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from service.domain.errors import ConfigError
from service.store import migrate
from service.store.database import Database
from service.store.postgres import async_url
from service.store.tables import metadata

pytestmark = pytest.mark.anyio


def differences(sql: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(sql, opts={"compare_type": True}), metadata))


async def test_the_migrated_schema_is_the_one_of_the_tables(db: Database) -> None:
    assert await db.read(differences) == []


def sqlite_objects(sql: Connection) -> set[tuple[str, str]]:
    rows = sql.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE tbl_name != 'alembic_version' AND sql IS NOT NULL")
    return {(name, " ".join(made.replace('"', "").replace("( ", "(").replace(" )", ")").split())) for name, made in rows}


def test_on_sqlite_both_ways_make_the_same_statements(sqlite_template: Path) -> None:
    fresh, migrated = create_engine("sqlite://"), create_engine(f"sqlite:///{sqlite_template}")
    with fresh.begin() as one, migrated.connect() as other:
        metadata.create_all(one)
        declared, made = sqlite_objects(one), sqlite_objects(other)
    fresh.dispose()
    migrated.dispose()
    assert {n for n, _ in declared} == {n for n, _ in made}
    indexes = {(n, s) for n, s in declared if s.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))}
    assert indexes == {(n, s) for n, s in made if n in {i for i, _ in indexes}}


POSTGRES_OBJECTS = """
    SELECT tablename, indexname, regexp_replace(indexdef, 'ON [a-z_]+\\.', 'ON ') FROM pg_indexes WHERE schemaname = current_schema()
    UNION ALL
    SELECT table_name, column_name, concat_ws(' ', data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = current_schema()
    UNION ALL
    SELECT relname, 'storage', array_to_string(reloptions, ', ')
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND reloptions IS NOT NULL
"""


async def test_on_postgres_both_ways_make_the_same_columns_indexes_and_storage(postgres_url: str) -> None:
    engine = create_async_engine(async_url(postgres_url))

    def declared(sql: Connection) -> set[Any]:
        sql.exec_driver_sql("CREATE SCHEMA declared")
        sql.exec_driver_sql("SET LOCAL search_path TO declared")
        metadata.create_all(sql, checkfirst=False)
        found = set(map(tuple, sql.exec_driver_sql(POSTGRES_OBJECTS).all()))
        sql.rollback()
        return found

    async with engine.connect() as sql:
        made = {tuple(r) for r in (await sql.exec_driver_sql(POSTGRES_OBJECTS)).all() if r[0] != "alembic_version"}
        assert await sql.run_sync(declared) == made
        assert ("lane", "storage") in {row[:2] for row in made}, "busy tables are swept often"
    await engine.dispose()


async def test_two_release_steps_at_once_migrate_one_after_the_other(postgres_url: str) -> None:
    admin = create_async_engine(async_url(postgres_url), isolation_level="AUTOCOMMIT")
    async with admin.connect() as sql:
        await sql.execute(text("CREATE DATABASE fresh"))
    url = postgres_url.rsplit("/", 1)[0] + "/fresh"
    await asyncio.gather(*(migrate.to_head_postgres(url) for _ in range(3)))
    assert await migrate.at_postgres(url) == migrate.head()
    async with admin.connect() as sql:
        await sql.execute(text("DROP DATABASE fresh WITH (FORCE)"))
    await admin.dispose()


async def test_a_process_does_not_run_on_a_schema_it_was_not_written_for(db: Database) -> None:
    await migrate.require_head(db)
    was = await db.read(migrate.current)
    await db.write(lambda tx: tx.sql.exec_driver_sql("UPDATE alembic_version SET version_num = 'another'"))
    with pytest.raises(ConfigError, match="run: callsheet migrate"):
        await migrate.require_head(db)
    await db.write(lambda tx: tx.sql.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{was}'"))


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "callsheet.db")
    migrate.to_head_sqlite(path)
    migrate.to_head_sqlite(path)
    assert migrate.at_sqlite(path) == migrate.head()
