"""python -m tests.sim --lifetimes 1000000 --seed 1 --jobs 2 --for 20m

Lives through that many lifetimes (one: a task from its order to rest), prints what they met and exits with 1 on a breach.
A failing seed is printed with the shortest story that still breaks; --only replays one seed and tells its history.
"""

import argparse
import re
import sys
import time

from tests.sim.jobs import run
from tests.sim.runner import Summary, live, shortest
from tests.sim.story import FAULTS, Story, draw

UNITS_S = {"s": 1, "m": 60, "h": 3_600}
SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lifetimes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first world; the others count up from it")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--for", dest="most_s", type=_seconds, help="at most this long, e.g. 90s, 20m")
    parser.add_argument("--only", type=int, metavar="SEED", help="one world, with its whole history")
    chosen = parser.parse_args()
    if chosen.only is not None:
        return _replay(chosen.only)
    began = time.monotonic()
    until_s = None if chosen.most_s is None else began + chosen.most_s
    summary = run(chosen.seed, chosen.jobs, chosen.lifetimes, until_s)
    _print(summary, time.monotonic() - began, chosen.lifetimes)
    return int(bool(summary.failed))


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError("write it as 90s, 20m or 1h")
    return float(found[1]) * UNITS_S[found[2] or "s"]


def _print(summary: Summary, took_s: float, wanted: int) -> None:
    met = summary.met
    print(f"lifetimes {summary.lifetimes:,} in {summary.worlds:,} worlds")
    rate = summary.lifetimes / max(summary.cpu_s, 1e-9)
    print(f"took {took_s:.0f} s, {summary.cpu_s:.0f} s of processor: {rate:.0f} lifetimes a second of one core")
    for title, kinds in (
        ("faults that struck", FAULTS),
        ("verdicts", [kind for kind in met if kind.startswith("receipt ")]),
        ("events", [kind for kind in met if kind.startswith("event ")]),
        ("outcomes of submissions", [kind for kind in met if kind.startswith("submission ")]),
        ("deliveries", [kind for kind in met if kind.startswith("delivery ") and kind not in FAULTS]),
    ):
        print(f"{title} ({sum(met[kind] for kind in kinds):,}):")
        for kind in kinds if title.startswith("faults") else sorted(kinds, key=lambda kind: -met[kind]):
            print(f"  {met[kind]:>10,}  {kind}")
    if summary.lifetimes < wanted:
        print(f"stopped by the time limit before {wanted:,} lifetimes")
    print(f"breaches: {sum(len(found) for _, found in summary.failed)} in {len(summary.failed)} worlds", flush=True)
    for story, found in summary.failed[:SHOWN]:
        _explain(shortest(story, {breach.invariant for breach in found}))


def _explain(story: Story) -> None:
    print(f"\n{story.told()}")
    for breach in live(story).breaches[:SHOWN]:
        print(f"  {breach.invariant} {breach.what} {' '.join(breach.names)}")
    print(f"  replay: python -m tests.sim --only {story.seed}\n  keep: {story!r}")


def _replay(seed: int) -> int:
    outcome = live(draw(seed), tell=True)
    print("\n".join(outcome.told))
    print(outcome.story.told())
    for breach in outcome.breaches:
        print(f"{breach.invariant} {breach.what} {' '.join(breach.names)}")
    print(f"digest {outcome.digest}")
    return int(bool(outcome.breaches))


if __name__ == "__main__":
    sys.exit(main())
