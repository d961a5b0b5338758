"""What every bench has in common: its figures as data, its options, its entry.

A bench is a module with `async def main(wanted: Wanted) -> Sequence[Figure]`, ended by `run(main, __doc__)`:

    python -m tests.bench.ingest [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

It measures itself and its baseline in turn, in the same run, and makes a Figure of the ratios. Absent on purpose: timed
assertions; a bench that finds a wrong answer (a lost callback, a second delivery) fails, a slow one says by how much.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import uvloop
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import dialect

from service.store.tables import TABLES
from tests.bench import results

RUNS = 5
WARM = 4
"""A warm-up is so many times shorter than a run."""
USUAL_S = 0.012
"""What one look of `pace` should take where the sizes of the runs were chosen: where a no-op answers 25,000 times a second."""
PREPARED = 0.25
"""Share of a bench in which it prepares: starts processes, fills databases. That cannot be made less, so the runs are."""
LOOKS = 15
LEAST_PACE = 0.25
"""Shorter runs would tell nothing,"""
SLOW = 0.75
"""so there are fewer of them."""
Number = TypeVar("Number", int, float)
ENGINES = ("sqlite", "postgres")
DIALECT = dialect()


@dataclass(slots=True)
class Figure:
    """One measured thing: its runs, and the marks it is held to."""

    name: str
    """The same words for ever: an earlier file is compared by them."""
    runs: Sequence[float]
    """Ratios mostly; else in `unit`."""
    reach: float | None = None
    """What it must be."""
    after: float | None = None
    """What we are after."""
    lower_is_better: bool = False
    unit: str = "×"
    engine: str = ""
    """`sqlite`, `postgres`, or nothing where no database is behind it."""
    rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """The absolute figures behind the ratios, by words that name their unit (`callbacks/s`, `p99 ms`, `CPU share`)."""

    @property
    def key(self) -> str:
        return f"{self.name} [{self.engine}]" if self.engine else self.name

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def missed_by(self) -> float | None:
        """The share by which the mark is missed; 0 where it is met, None where there is no mark."""
        if self.reach is None:
            return None
        short = self.median / self.reach - 1 if self.lower_is_better else 1 - self.median / self.reach
        return max(0.0, short)

    def line(self) -> str:
        spread = f"{min(self.runs):.3g}–{max(self.runs):.3g}"
        rates = ", ".join(f"{_short(statistics.median(v))} {k}" for k, v in self.rates.items())
        return f"{self.key:<64} {self.median:8.3g} {self.unit:<4}({spread})  {self.verdict():<46}{rates}".rstrip()

    def verdict(self) -> str:
        if self.missed_by is None:
            return ""
        word = "met" if self.missed_by == 0 else f"MISSED by {self.missed_by:.0%}"
        return f"mark {self.reach:g}{'' if self.after is None else f', after {self.after:g}'}: {word}"

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "engine": self.engine,
            "unit": self.unit,
            "median": self.median,
            "spread": [min(self.runs), max(self.runs)],
            "runs": list(self.runs),
            "lower_is_better": self.lower_is_better,
            "reach": self.reach,
            "after": self.after,
            "met": None if self.missed_by is None else self.missed_by == 0,
            "missed_by": self.missed_by,
            "rates": {k: statistics.median(v) for k, v in self.rates.items()},
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks of a bench."""

    engines: Sequence[str] = ENGINES
    quick: bool = False
    """Fewer and shorter runs: to see that it works, not to judge by."""
    alone: bool = True
    """No other bench waits for this one to end."""
    pace: float = 1.0
    """The share of a full run that this machine has time for."""

    @property
    def runs(self) -> int:
        return 3 if self.quick or self.pace < SLOW else RUNS

    def counts(self, many: int) -> list[int]:
        """Of each turn; the first only warms up, and need not be as long."""
        return [max(1, many // WARM), *[many] * self.runs]

    def work(self, full: int, quick: int | None = None) -> int:
        """So many operations on a machine of ordinary speed; a slow one does fewer, and its runs take as long."""
        return max(1, int(self.pick(full, full if quick is None else quick) * self.pace))

    def pick(self, full: Number, quick: Number) -> Number:
        return quick if self.quick else full


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def pace() -> float:
    """How much of a run fits into its time here: less where the machine is slow, or busy with others' work."""
    took_s = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        for _ in range(5):
            for table in TABLES.values():  # long paths through much code, as all that is measured here; a tight loop tells less
                select(*table.c).where(table.c[0] == 5).compile(dialect=DIALECT)
        took_s.append(time.perf_counter() - began)
    speed = min(1.0, USUAL_S / statistics.median(took_s))
    share = max(LEAST_PACE, (speed - PREPARED) / (1 - PREPARED))
    if share < 1:
        say(f"a slow machine, or a busy one: runs of {share:.0%} of their length")
    return share


Bench = Callable[[Wanted], Awaitable[Sequence[Figure]]]


def run(main: Bench, about: str | None) -> None:
    """Entry of each bench."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", choices=[*ENGINES, []], help="both, unless named")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--among-others", action="store_true", help="others wait for their turn: shorter where that is said")
    parser.add_argument("--pace", type=float, help="share of each run, for slow machines (measured, unless given)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="merge the figures into a JSON file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="say what changed since an earlier one")
    given = parser.parse_args()
    if given.compare and not given.compare.is_file():
        parser.error(f"there is no {given.compare}")  # now, and not after minutes
    earlier = results.read(given.compare) if given.compare else None
    share = pace() if given.pace is None else given.pace
    wanted = Wanted(given.engines or ENGINES, given.quick, not given.among_others, share)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_awaited(main(wanted)))
    for figure in figures:
        print(figure.line(), flush=True)
    measured = {figure.key: figure.as_dict() for figure in figures}
    if earlier is not None:
        print("\n".join(results.compared(measured, earlier)))
    if given.out:
        results.merge(given.out, measured)


async def _awaited(made: Awaitable[Sequence[Figure]]) -> Sequence[Figure]:
    return await made


def say(line: str) -> None:
    """Progress, beside the figures."""
    print(f"  {line}", file=sys.stderr, flush=True)


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(of, to, strict=True)]
