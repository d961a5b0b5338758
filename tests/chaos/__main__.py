"""python -m tests.chaos [NAME …] [--for SECONDS] [--quick] [--seed N] [--engine sqlite|postgres] [--share X]

Runs the disasters one after the other in their long form (minutes) or, with --quick, in the one of the test suite, and
prints a line for each. Exit 1 on any breach.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.clock import Clock
from tests.chaos.disasters import DISASTERS, strike
from tests.chaos.history import History
from tests.chaos.nursery import Nursery
from tests.postgres import server


def main() -> int:
    reader = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    reader.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DISASTERS))
    reader.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    reader.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    reader.add_argument("--for", dest="for_s", type=float, help="seconds that each shall last")
    reader.add_argument("--share", type=float, default=1.0, help="of the long form's time")
    reader.add_argument("--engine", choices=("sqlite", "postgres"))
    asked = reader.parse_args()
    if unknown := set(asked.names) - set(DISASTERS):
        reader.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(DISASTERS)}")
    faults: dict[str, int] = {}
    breaches: list[str] = []
    runs = 0
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callsheet-chaos-")))
        clock = Clock(home / "clock")
        nursery = stack.enter_context(Nursery(clock))
        durable = None
        for name, disaster in DISASTERS.items():
            for engine in disaster.engines:
                if (asked.names and name not in asked.names) or asked.engine not in (None, engine):
                    continue
                if engine == "postgres" and durable is None:
                    durable = stack.enter_context(server(durable=True))
                runs += 1
                mine = home / f"{name}-{engine}"
                mine.mkdir()
                for_s = asked.for_s or (disaster.quick_s if asked.quick else disaster.long_s * asked.share)
                began = time.monotonic()
                where = durable if engine == "postgres" else None
                history = asyncio.run(strike(name, nursery, clock, where, asked.seed, mine, for_s, asked.quick))
                show(name, engine, history, time.monotonic() - began)
                for what, count in history.faults.items():
                    faults[what] = faults.get(what, 0) + count
                breaches += [f"{name} on {engine} (seed {asked.seed}): {breach}" for breach in history.breaches]
    print(f"runs {runs}")
    print(f"faults that struck ({sum(faults.values()):,}):")
    for what, count in faults.items():
        print(f"  {count:>10,}  {what}")
    for breach in breaches:
        print(f"BREACH: {breach}")
    print(f"breaches: {len(breaches)}")
    return 1 if breaches else 0


def show(name: str, engine: str, history: History, took_s: float) -> None:
    faults = ", ".join(f"{count:,} x {what}" for what, count in history.faults.items())
    figures = ", ".join(f"{what} {value:.3g}" for what, value in history.figures.items())
    answers = ", ".join(f"{what}: {count:,}" for what, count in sorted(history.answers.items()))
    print(f"{name:<11} {engine:<9} {took_s:6.1f} s  {faults}; {figures}\n{'':22}{answers}", flush=True)
    for breach in history.breaches:
        print(f"{'':22}BREACH: {breach}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
