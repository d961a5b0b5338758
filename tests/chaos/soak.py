"""Days in minutes: load, quiet, and the clock turned by a day, with everything kept for a day only. Memory, open files, the
write-ahead log and the size of the database stay where they were."""

import asyncio
import time
from pathlib import Path

from service.domain.keep import Keep
from tests.chaos.audit import audit
from tests.chaos.ground import HOUR_S, Ground, Process, until

DAY_S = 24 * HOUR_S
GROWN_MIB = 24.0
FILES = 48
"""As many connections as caller and provider keep."""
WAL_MIB = 65.0
"""The limit that the service sets for it, and a page."""
BLOAT = 1.6
VACUUM_S = 2
"""Between two looks of PostgreSQL's own janitor: compressed as the days are."""
WARM, WARM_QUICK = 3, 1
"""Days until rows have been dropped and their room is used again."""


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 25.0) -> None:
    ground.keep = Keep(1, 1, 1, 1, 1, 1)
    if ground.server is not None:
        await ground.rows(f"ALTER SYSTEM SET autovacuum_naptime = '{VACUUM_S}s'")
        await ground.rows("SELECT pg_reload_conf()")
    service = await ground.start("serve")
    sweeper = await ground.subscribe("all")
    days: list[tuple[float, int, float]] = []
    day_s, warm = (0.6, WARM_QUICK) if quick else (max(5.0, for_s / 30), WARM)
    end = time.monotonic() + for_s
    while time.monotonic() < end or len(days) <= warm + 1:
        async with ground.load(per_s):
            await asyncio.sleep(day_s)
        await ground.drain()
        days.append((service.status("VmRSS") / 1024, service.files, await _size_mib(ground)))
        ground.history.note("write-ahead log, MiB", _wal_mib(ground))
        await audit(ground)  # before anything of this day is dropped
        ground.history.faults["day gone by"] += 1
        ground.history.orders.clear()
        ground.history.callbacks.clear()
        ground.history.told.clear()
        await _swept(ground, sweeper)
    _flat(ground, service, days[warm:])


async def _swept(ground: Ground, sweeper: str) -> None:
    """A day later, and once more: what was there is gone. Asking for a recovery rings for the janitor."""
    await ground.turn(DAY_S + HOUR_S)
    await ground.ask("POST", f"/v1/subscriptions/{sweeper}/recover", {"since": "2020-01-01T00:00:00Z"})
    await until(lambda: _gone(ground), "what is older than a day is dropped", 70)


async def _gone(ground: Ground) -> bool:
    return bool(await ground.one("SELECT count(*) FROM task") == 0)


def _flat(ground: Ground, service: Process, days: list[tuple[float, int, float]]) -> None:
    (first_mib, first_files, first_size), (last_mib, last_files, last_size) = days[0], days[-1]
    expect, note = ground.history.expect, ground.history.note
    note("memory grown, MiB", last_mib - first_mib)
    note("files opened", last_files - first_files)
    note("database grown, times", last_size / first_size)
    expect(service.alive, "the service ended by itself")
    expect(last_mib - first_mib < GROWN_MIB, f"memory grew from {first_mib:.0f} to {last_mib:.0f} MiB")
    expect(last_files - first_files < FILES, f"open files grew from {first_files} to {last_files}")
    expect(ground.history.figures["write-ahead log, MiB"] < WAL_MIB, "the write-ahead log outgrew its limit")
    expect(last_size < BLOAT * first_size, f"the database grew from {first_size:.1f} to {last_size:.1f} MiB")


def _wal_mib(ground: Ground) -> float:
    if ground.server is not None:
        return 0.0  # PostgreSQL keeps its own in order
    return _bytes(ground.database_url.removeprefix("sqlite:///") + "-wal") / 2**20


async def _size_mib(ground: Ground) -> float:
    if ground.server is not None:
        return int(await ground.one("SELECT pg_database_size(current_database())")) / 2**20
    return _bytes(ground.database_url.removeprefix("sqlite:///")) / 2**20


def _bytes(path: str) -> int:
    return Path(path).stat().st_size if Path(path).exists() else 0
