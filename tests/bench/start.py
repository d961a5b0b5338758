"""From the command to a green `/readyz`, and what the process weighs then, with nothing to do.

    python -m tests.bench.start [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

Beside each start a bare Python that imports uvicorn and Starlette and answers one request: what a machine that is slow
today takes for the least of servers. The very first start, with the making of the database, is told apart.
"""

import time
from collections.abc import Sequence

from tests.bench import ground
from tests.bench.harness import Figure, Wanted, ratios, run, say
from tests.bench.servers import cpu_s, free_port, rss_mib, server, service

AT_REST_S = 0.5
START_S = (1.0, 0.5)
REST_MIB = (110.0, 70.0)


def started(url: str) -> tuple[float, float, float]:
    """(seconds to ready, seconds of CPU, MiB at rest)."""
    port = free_port()
    env = ground.KEYS | {"CALLSHEET_DATABASE_URL": url}
    began = time.perf_counter()
    with service(port, env) as process:
        elapsed_s, spent_s = time.perf_counter() - began, cpu_s(process.pid)
        time.sleep(AT_REST_S)
        return elapsed_s, spent_s, rss_mib(process.pid)


def bare() -> float:
    port = free_port()
    began = time.perf_counter()
    with server("tests.bench.apps:noop", port):
        return time.perf_counter() - began


async def measure(wanted: Wanted, engine: str) -> list[Figure]:
    with ground.database_url(engine) as url:
        if engine == "postgres":  # its release step is a command of its own
            async with ground.opened(url):
                pass
        first_s, _, _ = started(url)
        starts, cpu, memory, least = [], [], [], []
        for _ in range(wanted.runs):
            least.append(bare())
            elapsed_s, spent_s, rest_mib = started(url)
            starts.append(elapsed_s)
            cpu.append(spent_s)
            memory.append(rest_mib)
            say(f"start, {engine}: {elapsed_s:.2f} s, {spent_s:.2f} s CPU, {rest_mib:.0f} MiB; bare {least[-1]:.2f} s")
    rates = {"s CPU": cpu, "s the very first": [first_s], "times a bare server": ratios(starts, least)}
    return [
        Figure("start to /readyz", starts, *START_S, lower_is_better=True, unit="s", engine=engine, rates=rates),
        Figure("memory at rest", memory, *REST_MIB, lower_is_better=True, unit="MiB", engine=engine),
    ]


async def main(wanted: Wanted) -> Sequence[Figure]:
    return [figure for engine in wanted.engines for figure in await measure(wanted, engine)]


if __name__ == "__main__":
    run(main, __doc__)
