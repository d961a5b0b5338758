"""kill -9 between send and settle: nothing is lost, names stay, and only what was under way comes twice."""

import asyncio
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.flow.couriers import queued
from tests.flow.receivers import receivers
from tests.world import Engine, World

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("KILLS", "8"))
"""A hundred by hand: KILLS=100."""
AT_ONCE = 10
"""Deliveries that one life has under way at a time."""


async def test_a_courier_killed_between_send_and_settle_loses_nothing(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "callsheet.db"
    shutil.copy(sqlite_template, path)
    count = 12 * ROUNDS
    async with receivers() as others:
        async with World(Engine(f"sqlite:///{path}")) as world:
            world.parts.courier.open = False
            for name in ("one", "two"):
                await world.subscribe(others.url(name))
            await queued(world, count // 2)
            promised = {row.id for row in await world.rows("SELECT id FROM delivery")}
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.flow.killed", str(path), str(ROUNDS), stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60 + ROUNDS):
            out, _ = await run.communicate()
        lives = out.decode().split("\n")
        killed = sum(line.startswith("killed") for line in lives)
        got = Counter(name for names in others.got.values() for name in names)
    assert len(promised) == count
    assert len(got) == count, "each notice arrived, under one name"
    assert killed >= ROUNDS // 2
    again = sum(times - 1 for times in got.values())
    assert again <= killed * AT_ONCE, "only what was under way when it was killed comes twice"
    async with World(Engine(f"sqlite:///{path}")) as world:
        states = await world.rows("SELECT state, count(*) AS n FROM delivery GROUP BY state")
        assert [(row.state, row.n) for row in states] == [("delivered", count)]
        print(f"{killed} kills, {count} notices, {again} of them came twice")
