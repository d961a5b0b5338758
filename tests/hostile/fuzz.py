"""A storm of hostile callbacks through the real site on a real database: only the right answers, and memory stays flat.

    python -m tests.hostile.fuzz --bodies 1000000 --engine both --seed 7 --jobs 2

Prints how each body was answered, how fast, and how much memory that took; ends with 1 if anything was wrong.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from service.domain.lifecycle import ENDINGS, State
from service.store import migrate
from service.web import callbacks
from tests.hostile.cases import Case, Sender
from tests.postgres import postgres
from tests.world import START_MS, Engine, World

SENDERS = 240
"""At once: what one process of providers could do."""
TARGETS = 48
FRESH_EVERY = 10_000
"""Bodies; then other tasks are aimed at, because most that were aimed at have ended."""
SLOW_S = 0.3
"""In place of the five seconds that a body may take."""
SAMPLE_EVERY = 5_000
FLAT_SHARE, FLAT_MB = 1.15, 48
"""Memory of the last quarter over that of the second: what caches still take while they fill."""
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(slots=True)
class Summary:
    engine: str
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    rss_mb: list[float] = field(default_factory=list)

    @property
    def bodies(self) -> int:
        return sum(self.statuses.values())

    @property
    def growth_mb(self) -> float:
        """From the second quarter to the last, by their highest marks."""
        quarter = len(self.rss_mb) // 4
        return max(self.rss_mb[-quarter:]) - max(self.rss_mb[quarter : 2 * quarter]) if quarter else 0.0

    @property
    def flat(self) -> bool:
        quarter = len(self.rss_mb) // 4
        return not quarter or self.growth_mb < max(FLAT_MB, (FLAT_SHARE - 1) * max(self.rss_mb[quarter : 2 * quarter]))

    def lines(self) -> list[str]:
        counts = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items()))
        memory = f"{self.rss_mb[0]:.0f} MB at first, {max(self.rss_mb):.0f} at most, {self.rss_mb[-1]:.0f} at the end"
        speed = f"{self.bodies:,} bodies in {self.elapsed_s:.0f} s, {self.bodies / self.elapsed_s:,.0f}/s"
        return [f"{self.engine}: {speed}", f"  {counts}", f"  memory {memory}; {self.growth_mb:+.0f} in its second half"]


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB


async def post(world: World, case: Case) -> int | None:
    """As a server would hand it in. None: nothing was answered."""
    sent: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            sent.append(message["status"])

    pieces = [case.body] if case.manner != "pieces" else [case.body[i : i + 65_536] for i in range(0, len(case.body), 65_536)]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces or [b""]]
    if case.manner in ("whole", "pieces"):
        messages[-1]["more_body"] = False
    messages.reverse()

    async def receive() -> Any:
        if messages:
            return messages.pop()
        if case.manner == "slow":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    length = [(b"content-length", str(len(case.body)).encode())] if case.manner == "whole" else []
    await world.site({"type": "http", "method": "POST", "path": case.path, "headers": length}, receive, send)
    return sent[0] if sent else None


async def storm(world: World, bodies: int, seed: int, engine: str = "") -> Summary:
    """So many bodies from so many senders at once."""
    summary = Summary(engine)
    sender = Sender(seed, START_MS)
    await _aim(world, sender)
    cases = itertools.islice(iter(sender), bodies)
    began = time.perf_counter()
    for left in range(bodies, 0, -FRESH_EVERY):
        part = itertools.islice(cases, min(left, FRESH_EVERY))
        await asyncio.gather(*(_send(world, part, summary) for _ in range(SENDERS)))
        if left > FRESH_EVERY:
            await _aim(world, sender)
    summary.elapsed_s = time.perf_counter() - began
    summary.rss_mb.append(rss_mb())
    summary.wrong += await faults(world)
    return summary


async def _aim(world: World, sender: Sender) -> None:
    """At tasks in every state in which they can be."""
    tasks = [await world.submit(f"number {i}") for i in range(TARGETS)]
    for i, task in enumerate(tasks):
        if state := (None, "running", "succeeded", "failed")[i % 4]:
            await world.callback(state, world.job(task))
    world.parts.courier.take(100_000)
    sender.aim([(task.submission_id or 0, (task.remote_id or "").encode()) for task in tasks])


async def _send(world: World, cases: Iterator[Case], summary: Summary) -> None:
    for case in cases:
        status = await post(world, case)
        summary.statuses["no answer" if status is None else str(status)] += 1
        if status != case.right and len(summary.wrong) < 20:
            summary.wrong.append(f"{status} in place of {case.right} for {case.path[:20]}…: {case.body[:300]!r}")
        if summary.bodies % SAMPLE_EVERY == 0:
            summary.rss_mb.append(rss_mb())


async def faults(world: World) -> list[str]:
    """What no callback may ever do to the records, however it is made."""
    wrong = []
    told: dict[int, list[Any]] = {}
    for row in await world.rows(
        "SELECT task_id, sequence, state FROM event WHERE sequence IS NOT NULL ORDER BY task_id, sequence"
    ):
        told.setdefault(row.task_id, []).append(row)
    for task in await world.rows("SELECT id, state, sequence FROM task"):
        rows = told.get(task.id, [])
        if [r.sequence for r in rows] != list(range(1, task.sequence + 1)):
            wrong.append(f"task {task.id} has the events {[r.sequence for r in rows]} and is at {task.sequence}")
        if sum(State(r.state) in ENDINGS for r in rows) > 1:
            wrong.append(f"task {task.id} has ended more than once")
        if rows and rows[-1].state != task.state:
            wrong.append(f"task {task.id} is {task.state}, and was told to be {rows[-1].state}")
    return wrong


@contextmanager
def fresh(kind: str) -> Iterator[Engine]:
    """A migrated database of its own."""
    folder = tempfile.mkdtemp()
    try:
        if kind == "postgres":
            with postgres() as url:
                asyncio.run(migrate.to_head_postgres(url))
                yield Engine(url)
        else:
            path = f"{folder}/callsheet.db"
            migrate.to_head_sqlite(path)
            yield Engine(f"sqlite:///{path}")
    finally:
        shutil.rmtree(folder)


def run(kind: str, bodies: int, seed: int) -> Summary:
    async def whole(engine: Engine) -> Summary:
        async with World(engine, seed) as world:
            return await storm(world, bodies, seed, kind)

    callbacks.BODY_S = SLOW_S
    with fresh(kind) as engine:
        return asyncio.run(whole(engine))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bodies", type=int, default=100_000, help="in all")
    parser.add_argument("--engine", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    kinds = ("sqlite", "postgres") if given.engine == "both" else (given.engine,)
    parts = max(given.jobs, len(kinds))
    began = time.perf_counter()
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        shares = [given.bodies // parts + (i < given.bodies % parts) for i in range(parts)]
        made = [pool.submit(run, kinds[i % len(kinds)], share, given.seed + i) for i, share in enumerate(shares)]
        summaries = [one.result() for one in made]
    total, elapsed_s = sum(s.bodies for s in summaries), time.perf_counter() - began
    for line in (line for summary in summaries for line in summary.lines()):
        print(line)
    wrong = [fault for s in summaries for fault in s.wrong] + [f"{s.engine}: memory grows" for s in summaries if not s.flat]
    print(f"{total:,} bodies in {elapsed_s:.0f} s, {total / elapsed_s:,.0f}/s, seed {given.seed}: {len(wrong)} wrong")
    for fault in wrong:
        print(f"  {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
