"""Brings a database to the head, or says how far behind it is. Never beside a running service on SQLite."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from service.cli.verb import told
from service.settings import load
from service.store import migrate as migrations
from service.store.database import translated
from service.store.sqlite import check_file, lock_file


def migrate(env: Mapping[str, str], change: bool) -> tuple[str | None, str]:
    """(where it was, the head)."""
    settings = load(env, make_keys=False)
    try:
        if settings.sqlite_path is None:
            before = asyncio.run(_postgres(settings.database_url, settings.pooled, change))
        else:
            before = _sqlite(settings.sqlite_path, change)
    except (SQLAlchemyError, OSError) as error:
        raise told(translated(error)) from None
    return before, migrations.head()


def _sqlite(path: str, change: bool) -> str | None:
    there = Path(path).exists()
    if not there and not change:
        return None
    check_file(path)
    lock = lock_file(path)
    try:
        before = migrations.at_sqlite(path) if there else None
        if change:
            migrations.to_head_sqlite(path)
        return before
    finally:
        os.close(lock)


async def _postgres(url: str, pooled: bool, change: bool) -> str | None:
    before = await migrations.at_postgres(url, pooled)
    if change:
        await migrations.to_head_postgres(url, pooled)
    return before
