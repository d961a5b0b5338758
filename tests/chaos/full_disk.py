"""The disk is full, again and again, under load: refused with 503, said by `/readyz`, nothing corrupt, over when there is
room. A small file system in memory where that may be mounted, a limit on the size of files elsewhere."""

import asyncio
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.audit import audit
from tests.chaos.ground import LEASE_OVER_S, Ground, Process, until

SIZE = "48m"
BLOCK = bytes(64 * 1024)
GOT_OVER_S = 10.0


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = 20.0) -> None:
    folder = ground.home / "small"
    folder.mkdir()
    with mounted(folder) as small:
        ground.database_url = f"sqlite:///{folder}/callsheet.db"
        service = await ground.start("serve")
        await ground.subscribe("all")
        end = time.monotonic() + for_s
        async with ground.load(per_s):
            while time.monotonic() < end:
                await asyncio.sleep(ground.dice.uniform(0.2, 1.0))
                full = _filled(folder) if small else _limited(service)
                ground.history.faults["full disk"] += 1
                await until(lambda: _refuses(ground), "503 when the disk is full")
                status, _ = await ground.ask("GET", "/v1/tasks")
                ground.history.expect(status == 200, f"reading on a full disk was answered {status}")
                await asyncio.sleep(ground.dice.uniform(0.2, 1.0))
                full()
                began = time.monotonic()
                await until(lambda: _takes(ground), "ready when there is room", GOT_OVER_S)
                ground.history.note("got over it after, s", time.monotonic() - began)
        await ground.drain(LEASE_OVER_S)
        ground.history.expect(service.alive, "the service ended by itself")
        await audit(ground)
        await ground.close()
        for process in ground.processes:
            await ground.ended(process)


async def _refuses(ground: Ground) -> bool:
    return await ground.readyz() == 503


async def _takes(ground: Ground) -> bool:
    return await ground.readyz() == 200


def _filled(folder: Path) -> Callable[[], None]:
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        size = len(BLOCK)
        while size:
            try:
                size = file.write(BLOCK[:size]) and size
            except OSError:
                size //= 2
    return filler.unlink


def _limited(service: Process) -> Callable[[], None]:
    _, hard = before = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (1, hard))
    return lambda: _lift(service.pid, before)


def _lift(pid: int, limits: tuple[int, int]) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def mounted(folder: Path) -> Iterator[bool]:
    """Whether the folder is a small file system now: most machines allow that to root alone."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True, check=False)
    small = done.returncode == 0
    try:
        yield small
    finally:
        if small:
            subprocess.run(["umount", "-l", folder], check=True)
