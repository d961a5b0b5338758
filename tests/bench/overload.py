"""Three times as many callbacks as the service can take, for a minute: nothing that was acknowledged is lost, memory stays
bounded, whoever is turned away hears it early, and afterwards everything is as before by itself.

    python -m tests.bench.overload [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

What it can take is measured first, with 64 connections that wait for their answers. Then callbacks come by the clock
(storm.py), whoever was refused comes again, and after the storm a light load shows when it is over. Among other benches
the second engine has ten seconds of it, and a slow machine less of the minute; `./infra/bench --only overload` gives a
minute to each. `--quick`: ten seconds.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import select

from service.store.tables import TABLES
from tests.bench import ground
from tests.bench.harness import Figure, Wanted, run, say
from tests.bench.load import load, post
from tests.bench.receiver import receiving
from tests.bench.seed import callbacks, seed
from tests.bench.servers import ROOT, Child, cpu_s, free_port, open_files, rss_mib, service
from tests.bench.storm import NUMBER, calm, normal_ms, p99
from tests.bench.subscribed import subscribed

TASKS = 20_000
CLOSED = 10_000
"""Callbacks by which the capacity is measured."""
TIMES = 3
CONNECTIONS = 4_000
LIGHT = 200
"""Callbacks a second before and after,"""
BEFORE_S, AFTER_S, LEAST_AFTER_S = 5, 12, 6
"""for so many seconds, each measured by itself; after the storm until all is as before: but longer than a sender of the storm
waits."""
WITHIN_S = 120.0
"""For the notices of what measured the capacity."""
EARLY_MS = 1_000.0
MEMORY_MIB = (256.0, 120.0)
AGAIN_S = 10.0
Phase = dict[str, Any]


def numbered(tokens: Any, seeded: Any) -> list[bytes]:
    """As a provider sends them, each with a place for its number: `running` for all tasks, then `succeeded` for all."""
    made = []
    for status in ("running", "succeeded"):
        for path, body in callbacks(tokens, seeded, status):
            made.append(post(path, body[:-1] + b',"number":"' + NUMBER + b'"}'))
    return made


async def measure(engine: str, lasting_s: int, closed_count: int) -> list[Figure]:
    with ground.database_url(engine) as url:
        async with receiving() as receiver:
            async with ground.opened(url) as db:
                await subscribed(db, f"http://127.0.0.1:{receiver.port}/", 1)
                requests = numbered(ground.tokens(), await seed(db, TASKS, ground.clock_ms()))
            port = free_port()
            with service(port, ground.KEYS | {"CALLSHEET_DATABASE_URL": url}) as process:
                first = [request.replace(NUMBER, b"%09d" % n) for n, request in enumerate(requests[: 2 * closed_count])]
                await load(port, first[:closed_count])
                closed = await load(port, first[closed_count:])
                assert closed.statuses == {"200": closed_count}, closed.statuses
                await receiver.until(2 * closed_count, WITHIN_S)  # as it was before is as it was at rest
                rest_mib = rss_mib(process.pid)
                asked = {
                    "first": 2 * closed_count,
                    "before": BEFORE_S,
                    "least": BEFORE_S + 1 + LEAST_AFTER_S,
                    "requests": [request.decode() for request in requests],
                    "phases": [*[(LIGHT, 1)] * BEFORE_S, (int(closed.rate * TIMES), lasting_s), *[(LIGHT, 1)] * AFTER_S],
                }
                spent = cpu_s(process.pid)
                phases, most_mib = await stormed(port, asked, process)
                share = (cpu_s(process.pid) - spent) / sum(phase["lasting_s"] for phase in phases)
        acknowledged = [n for phase in phases for n in phase["acknowledged"]] + list(range(2 * closed_count))
        lost = set(acknowledged) - await kept(url)
    assert not lost, f"{len(lost)} acknowledged callbacks are not in the database"
    before, storm, after = phases[:BEFORE_S], phases[BEFORE_S], phases[BEFORE_S + 1 :]
    normal = normal_ms([phase["taken_ms"] for phase in before])
    again_s = next((n for n, p in enumerate(after, start=1) if calm(p["statuses"], p["taken_ms"], normal)), 10 * AFTER_S)
    taken, refused = storm["taken_ms"], storm["refused_ms"]
    say(
        f"overload, {engine}: of {storm['rate']:,}/s for {lasting_s} s {len(taken):,} taken (p99 {p99(taken):.0f} ms),"
        f" {len(refused):,} refused (p99 {p99(refused):.0f} ms), {storm['given_up']:,} gave up, {storm['hung_up']:,} hung up"
        f" on, {storm['not_sent']:,} not sent (senders late by up to {storm['late_ms']:.0f} ms); {most_mib:.0f} MiB; normal ({normal:.0f} ms) after {again_s} s;"
        f" {share:.2f} cores; then p99 {[round(p99(p['taken_ms'])) for p in after]}"
    )
    assert storm["without_retry_after"] == 0, "refusals without Retry-After"
    memory = {"MiB before": [rest_mib]}
    counts = {"acknowledged, none lost": [float(len(acknowledged))], "ms p99 of the taken": [p99(taken)]}
    counts |= {"of the storm answered": [(len(taken) + len(refused)) / (storm["rate"] * lasting_s)]}
    counts |= {"ms late the senders themselves": [storm["late_ms"]]}
    counts |= {"gave up": [float(storm["given_up"])], "hung up on": [float(storm["hung_up"])]}
    return [
        Figure(
            "threefold overload: taken, against capacity", [len(taken) / lasting_s / closed.rate], engine=engine, rates=counts
        ),
        Figure("threefold overload: p99 of a refusal", [p99(refused)], EARLY_MS, None, True, "ms", engine),
        Figure("threefold overload: memory", [most_mib], *MEMORY_MIB, True, "MiB", engine, memory),
        Figure("threefold overload: normal again after", [again_s], AGAIN_S, None, True, "s", engine),
    ]


async def stormed(port: int, asked: dict[str, Any], process: Child) -> tuple[list[Phase], float]:
    """What became of each phase, and the most memory that the service had."""
    most_mib = 0.0
    with tempfile.NamedTemporaryFile(prefix="callsheet-bench-") as out:
        command = [sys.executable, "-m", "tests.bench.storm", str(port), out.name, str(CONNECTIONS)]
        storm = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, cwd=ROOT)
        telling = asyncio.create_task(storm.communicate(orjson.dumps(asked)))
        while not telling.done():
            assert process.poll() is None, "the service died"
            most_mib = max(most_mib, rss_mib(process.pid))
            await asyncio.wait([telling], timeout=0.1)
        assert storm.returncode == 0, "the senders died"
        return [orjson.loads(line) for line in out.read().splitlines()], most_mib


async def kept(url: str) -> set[int]:
    """The numbers of all callbacks that the database holds."""
    body = TABLES["receipt"].c.body
    mark = b'"number":"'

    async with ground.opened(url) as db:
        rows = await db.read(lambda sql: sql.execute(select(body)).scalars().all())
    return {
        int(row[at + len(mark) : at + len(mark) + len(NUMBER)])
        for row in map(bytes, filter(None, rows))
        if (at := row.find(mark)) >= 0
    }


async def main(wanted: Wanted) -> Sequence[Figure]:
    open_files(2 * CONNECTIONS)
    minute, less = wanted.pick(60, 10), 10
    first = minute if wanted.alone else max(less, wanted.work(60, 10))
    lasting = {engine: minute if wanted.alone else less if number else first for number, engine in enumerate(wanted.engines)}
    return [figure for engine, lasting_s in lasting.items() for figure in await measure(engine, lasting_s, wanted.work(CLOSED))]


if __name__ == "__main__":
    run(main, __doc__)
