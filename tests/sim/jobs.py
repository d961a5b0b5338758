"""Several processes, each with its share of the seeds; one summary. Apart from `__main__`, which no other process can import."""

import multiprocessing
import sys
import time
from multiprocessing.queues import Queue
from queue import Empty

from tests.sim.runner import Summary, worlds

REPORT_S = 15.0


def run(seed: int, jobs: int, lifetimes: int, until_s: float | None) -> Summary:
    """Each process takes every so-manieth seed: which worlds there are does not depend on who is faster."""
    context = multiprocessing.get_context("spawn")
    told: Queue[Summary | None] = context.Queue()
    share = -(-lifetimes // jobs)
    processes = [context.Process(target=_work, args=(seed + i, jobs, share, until_s, told)) for i in range(jobs)]
    for process in processes:
        process.start()
    total, open_count, told_at = Summary(), jobs, time.monotonic()
    while open_count:
        try:
            part = told.get(timeout=REPORT_S)
        except Empty:
            if any(process.exitcode for process in processes):
                raise SystemExit("a process of the simulation died") from None
            continue
        if part is None:
            open_count -= 1
            continue
        total.join(part)
        for story, found in part.failed:
            kinds = sorted({breach.invariant for breach in found})
            print(f"BREACH in seed {story.seed}: {', '.join(kinds)}: {found[0].what} {' '.join(found[0].names)}", flush=True)
        if time.monotonic() - told_at > REPORT_S:
            told_at = time.monotonic()
            print(f"{total.lifetimes:,} lifetimes, {len(total.failed)} worlds with a breach", file=sys.stderr, flush=True)
    for process in processes:
        process.join()
    return total


def _work(seed: int, step: int, lifetimes: int, until_s: float | None, told: "Queue[Summary | None]") -> None:
    cpu_s = time.process_time()
    for outcome in worlds(seed, step, lifetimes, until_s):
        part = Summary()
        part.add(outcome)
        part.cpu_s = time.process_time() - cpu_s
        cpu_s = time.process_time()
        told.put(part)
    told.put(None)
