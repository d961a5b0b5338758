"""One and two worker processes on PostgreSQL that drain the same backlog: how much faster two are, and that none is sent twice.

    python -m tests.bench.workers [--quick] [--out FILE] [--compare EARLIER.json]

Twice. With subscribers that take their time as real ones do, the attempts under way at once are the limit, and two workers
have twice as many: 40 ms on a machine of ordinary speed, longer on a slow one, where cores would be the limit again.
With subscribers that answer at once processors are: the workers, PostgreSQL and the subscribers share them, so that two
cores have little left for a second worker. What the cores would allow is worked out from what each delivery costs all
three, and from what others left of the machine.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy import TextClause, text

from service.app import make_parts
from service.flow.announce import Happening, announce
from service.parts import Parts
from service.settings import load
from service.store.database import Database, Tx
from service.store.postgres import Postgres
from tests.bench import ground
from tests.bench.harness import Figure, Wanted, ratios, run, say
from tests.bench.receiver import Receiver, receiving
from tests.bench.servers import Child, child, cpu_s, family_cpu_s
from tests.bench.subscribed import subscribed
from tests.postgres import Server, server

TWO_TO_ONE = 1.6
OF_THE_CORES = 0.8
"""Of 1.6 times one, or of what the cores allow where that is less: processes that share cores wait for one another."""
LEAST_OF_SLOW = 0.5
"""Of the pace; as slow as this, a core has enough of one worker's answers."""
WARM = 10
"""Events before those that are measured, for connections and caps."""
WITHIN_S = 120.0
OPEN = text("SELECT count(*) FROM delivery WHERE state = 'pending'")
AWAKE = text("SELECT count(*) FROM lane WHERE due_at < :soon")
"""Lanes that a worker still looks into because of the drain before."""
TOLD = text("SELECT count(*), count(*) FILTER (WHERE state = 'delivered' AND attempts = 1) FROM delivery")
BODY = (
    b'{"type":"task.queued","timestamp":"2026-11-20T22:33:00.123Z","data":{"sequence":1,"previous_state":"created","task":{}}}'
)


@dataclass(frozen=True, slots=True)
class Case:
    """Subscribers of an app of their own."""

    words: str
    app_id: str
    subscriptions: int
    concurrency: int | None
    """Attempts at once to each, by each worker; None: as subscriptions have it that ask for nothing."""
    after_s: float
    events: int
    runs: int


AT_ONCE = Case("answers at once", "quick", 50, 20, 0.0, 160, 5)
SLOW = Case("answers that take their time", "slow", 6, None, 0.04, 400, 3)


@dataclass(frozen=True, slots=True)
class Drain:
    rate: float
    workers: Sequence[float]
    """Cores that each used."""
    database: float
    receiver: float
    elsewhere: float
    """Cores that others used meanwhile."""

    @property
    def used(self) -> float:
        return sum(self.workers) + self.database + self.receiver

    @property
    def cost_us(self) -> float:
        """CPU of one delivery, whoever spends it."""
        return self.used / self.rate * 1e6

    @property
    def allowed(self) -> float:
        """Deliveries a second if no core that was left to us ever idled."""
        return self.rate * ((os.cpu_count() or 1) - self.elsewhere) / self.used

    def __str__(self) -> str:
        each = " + ".join(f"{cores:.2f}" for cores in self.workers)
        return (
            f"{self.rate:,.0f}/s at {self.cost_us:.0f} µs CPU (cores: {each}, PostgreSQL {self.database:.2f},"
            f" subscribers {self.receiver:.2f}, others {self.elsewhere:.2f}; allowed {self.allowed:,.0f}/s)"
        )


@dataclass(slots=True)
class Bench:
    pg: Server
    env: dict[str, str]
    db: Database
    parts: Parts
    receiver: Receiver
    sent: int = 0
    """Notices so far, of all drains."""

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Child]:
        with child(["-m", "service", "work"], self.env) as process:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline), "a worker did not start"
            yield process

    async def drained(self, case: Case, working: Sequence[Child]) -> Drain:
        self.receiver.forget()
        self.receiver.after_s = case.after_s
        await self.quiet(AWAKE, lambda: {"soon": self.parts.clock()})
        count = await self.backlog(case)
        await self.receiver.until(1, WITHIN_S)
        whose: list[Callable[[], float]] = [
            *(partial(cpu_s, process.pid) for process in working),
            partial(family_cpu_s, self.pg.pid),
            _mine,
            _busy,
        ]
        before = [spent() for spent in whose]
        await self.receiver.until(count, WITHIN_S)
        elapsed_s = self.receiver.last_s - self.receiver.first_s
        *each, database, mine, busy = [spent() - was for spent, was in zip(whose, before, strict=True)]
        await self.quiet(OPEN, dict)  # the subscribers live in this process, which is about to wait for a worker's end
        twice = [name for name, times in self.receiver.names.items() if times > 1]
        assert len(self.receiver.names) == count, (len(self.receiver.names), count)
        assert not twice, f"{len(twice)} came more than once"
        self.sent += count
        made, delivered = await self.db.read(lambda sql: sql.execute(TOLD).one())
        assert made == delivered == self.sent, (made, delivered, self.sent)
        cores = [spent_s / elapsed_s for spent_s in (*each, database, mine, max(0.0, busy - sum(each) - database - mine))]
        return Drain((count - 1) / elapsed_s, cores[: len(working)], *cores[len(working) :])

    async def backlog(self, case: Case) -> int:
        """So many events for every subscription, all there at one instant: the commit, of which the workers hear."""

        def happen(tx: Tx) -> None:
            announce(tx, self.parts, [Happening(case.app_id, "task.queued", "own", BODY)] * case.events)

        await self.db.write(happen)
        self.parts.courier.bell.ring()
        return case.events * case.subscriptions

    async def quiet(self, count: TextClause, values: Callable[[], dict[str, int]]) -> None:
        """Until nothing is counted any more."""
        async with asyncio.timeout(WITHIN_S):
            while await self.db.read(lambda sql: sql.execute(count, values()).scalar_one()):  # noqa: ASYNC110 (others' doing)
                await asyncio.sleep(0.02)


def _mine() -> float:
    """The subscribers live in this process."""
    return time.process_time()


def _busy() -> float:
    """Seconds that all cores together were busy, with whatever it was."""
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


async def measure(bench: Bench, case: Case, wanted: Wanted) -> tuple[list[Drain], list[Drain]]:
    if case.after_s:
        case = replace(case, after_s=case.after_s / max(wanted.pace, LEAST_OF_SLOW))
    else:
        case = replace(case, events=wanted.work(case.events))
    one: list[Drain] = []
    two: list[Drain] = []
    async with bench.worker() as first:
        await bench.drained(replace(case, events=WARM), [first])
        for _ in range(wanted.pick(min(case.runs, wanted.runs), 2)):
            one.append(await bench.drained(case, [first]))
            async with bench.worker() as second:
                await bench.drained(replace(case, events=WARM), [first, second])
                two.append(await bench.drained(case, [first, second]))
            say(f"workers, {case.words} ({case.after_s * 1000:.0f} ms): {one[-1]} by one; {two[-1]} by two")
    return one, two


def _rates(one: Sequence[Drain], two: Sequence[Drain]) -> dict[str, Sequence[float]]:
    return {
        "deliveries/s by one": [d.rate for d in one],
        "by two": [d.rate for d in two],
        "allowed by the cores": [d.allowed for d in two],
        "µs CPU by one": [d.cost_us for d in one],
        "µs CPU by two": [d.cost_us for d in two],
        "cores: one worker": [d.workers[0] for d in one],
        "PostgreSQL beside it": [d.database for d in one],
        "first of two": [d.workers[0] for d in two],
        "second of two": [d.workers[1] for d in two],
        "PostgreSQL beside two": [d.database for d in two],
        "subscribers beside two": [d.receiver for d in two],
        "others": [d.elsewhere for d in two],
    }


async def main(wanted: Wanted) -> Sequence[Figure]:
    if "postgres" not in wanted.engines:
        return []
    with server(durable=True) as pg:
        env = ground.KEYS | {"CALLSHEET_DATABASE_URL": pg.url}
        async with receiving() as receiver, ground.opened(pg.url) as db:
            for case in (AT_ONCE, SLOW):
                target = f"http://127.0.0.1:{receiver.port}/{{n}}"
                await subscribed(db, target, case.subscriptions, case.concurrency, case.app_id)
            parts = make_parts(load(env), db)
            assert isinstance(db, Postgres)
            hints = db.carry(parts.bells, parts.watch)
            assert hints is not None
            await hints.listening.wait()
            bench = Bench(pg, env, db, parts, receiver)
            slow_one, slow_two = await measure(bench, SLOW, wanted)
            one, two = await measure(bench, AT_ONCE, wanted)
    best = [min(TWO_TO_ONE * a.rate, b.allowed) for a, b in zip(one, two, strict=True)]
    of_best = [b.rate / most for b, most in zip(two, best, strict=True)]
    slow = ratios([d.rate for d in slow_two], [d.rate for d in slow_one])
    quick = ratios([d.rate for d in two], [d.rate for d in one])
    name = "two workers against one"
    return [
        Figure(f"{name}, {SLOW.words}", slow, TWO_TO_ONE, engine="postgres", rates=_rates(slow_one, slow_two)),
        Figure(f"{name}, {AT_ONCE.words}", quick, engine="postgres", rates=_rates(one, two)),
        Figure(f"{name}, {AT_ONCE.words}, of what the cores allow", of_best, OF_THE_CORES, engine="postgres"),
    ]


if __name__ == "__main__":
    run(main, __doc__)
