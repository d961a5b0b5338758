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
from service.store.sqlite import lock_file


def migrate(env: Mapping[str, str], change: bool) -> tuple[str | None, str]:
    """(where it was, the head)."""
    settings = load(env, make_keys=False)
    if settings.sqlite_path is None:
        try:
            return asyncio.run(_postgres(settings.database_url, change)), migrations.head()
        except (SQLAlchemyError, OSError) as error:
            raise told(translated(error)) from None
    path = settings.sqlite_path
    if not change and not Path(path).exists():
        return None, migrations.head()
    lock = lock_file(path)
    try:
        before = migrations.at_sqlite(path) if Path(path).exists() else None
        if change:
            migrations.to_head_sqlite(path)
    finally:
        os.close(lock)
    return before, migrations.head()


async def _postgres(url: str, change: bool) -> str | None:
    before = await migrations.at_postgres(url)
    if change:
        await migrations.to_head_postgres(url)
    return before
