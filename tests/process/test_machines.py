"""Several machines on one PostgreSQL: each with its own idea of the time, each seeing at once what the others record."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.conftest import empty
from tests.process.harness import KEYS, Process, Receiver, Stage, free_port, providing, receiving, until

HOUR_S = 3_600
SHIFTED = """
import sys, time
shift_s = int(sys.argv.pop(1))
now_ns, now = time.time_ns, time.time
time.time_ns = lambda: now_ns() + shift_s * 1_000_000_000
time.time = lambda: now() + shift_s
from service.cli import main
main()
"""
AT_ONCE_S = 0.3
"""On a machine that is busy with tests; whoever only looks by himself takes half a second at the median."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def stage(tmp_path: Path, receiver: Receiver, postgres_url: str) -> Iterator[Stage]:
    asyncio.run(empty(postgres_url))
    with providing(tmp_path) as provider_url:
        stage = Stage(tmp_path, receiver, provider_url)
        stage.database_url = postgres_url
        yield stage
        stage.close()


def machine(stage: Stage, shift_s: int, port: int, *arguments: str) -> Process:
    process = Process(["-c", SHIFTED, str(shift_s), *arguments], stage.env(port), stage.home)
    stage.processes.append(process)
    return process


def test_machines_whose_clocks_are_hours_apart_tell_everything_once_and_see_each_other_at_once(stage: Stage) -> None:
    other_port = free_port()
    machine(stage, -HOUR_S, stage.port, "serve", "--no-loops")
    machine(stage, HOUR_S, other_port, "serve", "--no-loops")
    for shift_s in (-2 * HOUR_S, 2 * HOUR_S):
        machine(stage, shift_s, free_port(), "work")
    stage.ready()
    headers = {"Authorization": f"Bearer {KEYS['CALLSHEET_ADMIN_KEY']}", "Prefer": "wait=20"}
    other = httpx.Client(base_url=f"http://127.0.0.1:{other_port}", headers=headers, trust_env=False, timeout=40)
    until(lambda: other.get("/readyz").is_success, "the other one")
    stage.subscribe()
    with closing(other), ThreadPoolExecutor(8) as callers:
        tasks = [stage.order(f"number {i}") for i in range(8)]  # the provider calls back the first process

        def waited(task: str) -> float:
            """From the record in one process to the answer of the other."""
            seen = other.get(f"/v1/tasks/{task}").json()
            return time.time() - datetime.fromisoformat(seen["updated_at"]).timestamp()

        late_s = list(callers.map(waited, tasks))
    assert min(late_s) > -0.1, "what is recorded is the database's time"
    assert statistics.median(late_s) < AT_ONCE_S, late_s
    until(lambda: {stage.state(task) for task in tasks} == {"succeeded"}, "all end")
    steps = sum(len(stage.transitions(task)) for task in tasks)
    until(lambda: len(stage.receiver.heard) >= steps, "their notices")
    told = [name for name, _, _, _ in stage.receiver.heard]
    assert len(told) == len(set(told)) == steps
