"""Many worlds, one after another: what each came to, the shortest story that still breaks, and what all of them met."""

import gc
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.domain.audit import Breach
from tests.sim import life
from tests.sim.check import breaches
from tests.sim.story import Story, draw
from tests.sim.world import World

UNTIDY = 3
"""Worlds whose rubbish may lie about."""
SHRINK_S = 60.0
"""For the search for a shorter story."""


@dataclass(slots=True)
class Outcome:
    story: Story
    digest: str
    """Of everything that happened, in order: the same story has the same."""
    breaches: list[Breach]
    met: Counter[str]
    """Faults that struck, verdicts, transitions."""
    told: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    lifetimes: int = 0
    worlds: int = 0
    cpu_s: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Story, list[Breach]]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.worlds += 1
        self.lifetimes += len(outcome.story.orders)
        self.met += outcome.met
        if outcome.breaches:
            self.failed.append((outcome.story, outcome.breaches))

    def join(self, other: "Summary") -> None:
        self.lifetimes += other.lifetimes
        self.worlds += other.worlds
        self.cpu_s += other.cpu_s
        self.met += other.met
        self.failed += other.failed


def live(story: Story, tell: bool = False) -> Outcome:
    world = World(story, tell)
    outcome = Outcome(story, "", [], world.history.counts)

    def look(world: World) -> None:
        outcome.breaches = breaches(world)
        assert world.process is not None
        raw = world.process.store.raw
        for what, kind in (("verdict", "receipt"), ("type", "event"), ("outcome", "submission"), ("state", "delivery")):
            for word, count in raw.execute(f"SELECT {what}, count(*) FROM {kind} GROUP BY 1"):
                outcome.met[f"{kind} {word}"] += count
        disk = world.disk
        for kind, count in (("commit fails", disk.failed), ("commit's answer lost", disk.forgotten), ("disk full", disk.full)):
            if count:
                outcome.met[kind] += count

    try:
        life.live(world, look)
    except Exception as error:  # a world that cannot go on is a finding like any other
        outcome.breaches = [Breach("bug", f"the world broke: {type(error).__name__}: {error}")]
    outcome.digest = world.history.digest.hexdigest()
    outcome.told = world.history.told or []
    return outcome


def worlds(first_seed: int, step: int, lifetimes: int, until_s: float | None = None) -> Iterator[Outcome]:
    """Seeds `first_seed`, `first_seed + step`, … until so many lifetimes were lived, or until then by the process's clock."""
    lived, seed, untidy = 0, first_seed, 0
    gc.disable()  # between some worlds it costs less than within them, and what was there before is not looked at again
    gc.freeze()
    try:
        while lived < lifetimes and (until_s is None or time.monotonic() < until_s):
            outcome = live(draw(seed))
            lived += len(outcome.story.orders)
            seed += step
            yield outcome
            if (untidy := untidy + 1) == UNTIDY:
                untidy = 0
                gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()


def shortest(story: Story, broken: set[str], budget_s: float = SHRINK_S) -> Story:
    """Leaves out faults and orders, halves first and then one by one, as long as one of these invariants still breaks."""
    end = time.monotonic() + budget_s

    def breaks(candidate: Story) -> bool:
        return bool(broken & {breach.invariant for breach in live(candidate).breaches})

    for what in ("orders", "faults", "orders"):  # without an order its faults go, too, and what is left is quick
        size = max(1, len(getattr(story, what)) // 2)
        while time.monotonic() < end:
            place = 0
            while place < len(getattr(story, what)) and time.monotonic() < end:
                parts = getattr(story, what)
                if len(parts) == 1 and what == "orders":
                    break
                shorter = story.without(**{what: parts[place : place + size]})
                if shorter.orders and breaks(shorter):
                    story = shorter
                else:
                    place += size
            if size == 1:
                break
            size = max(1, size // 2)
    return story
