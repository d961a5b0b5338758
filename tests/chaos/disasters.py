"""The table of disasters: what each is called, and on which engines it can happen."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import frozen, full_disk, kills, neighbours, outages, recovery, soak, storm
from tests.chaos.audit import audit
from tests.chaos.clock import Clock
from tests.chaos.ground import Ground, NeverCame, ground
from tests.chaos.history import History
from tests.chaos.nursery import Nursery
from tests.postgres import Server

BOTH = ("sqlite", "postgres")


@dataclass(frozen=True, slots=True)
class Disaster:
    run: Callable[[Ground, float, bool], Awaitable[None]]
    engines: tuple[str, ...]
    quick_s: float
    long_s: float
    """How long each form lasts at least, beside its preparations and its end."""
    receipts: bool = True
    """Every acknowledged callback has its receipt: not where thousands about one task are not all kept."""
    audited: bool = True
    """Its end is an audit; otherwise it has its own."""


DISASTERS = {
    "kills": Disaster(kills.run, BOTH, 1.5, 75),
    "outages": Disaster(outages.run, ("postgres",), 1.5, 60),
    "full-disk": Disaster(full_disk.run, ("sqlite",), 1.5, 45, audited=False),
    "frozen": Disaster(frozen.run, ("postgres",), 1.5, 60),
    "neighbours": Disaster(neighbours.run, BOTH, 1.0, 30),
    "storm": Disaster(storm.run, BOTH, 6.25, 125, receipts=False),
    "recovery": Disaster(recovery.run, BOTH, 1.5, 60),
    "soak": Disaster(soak.run, BOTH, 1.0, 120, audited=False),
}


async def strike(
    name: str, nursery: Nursery, clock: Clock, server: Server | None, seed: int, home: Path, for_s: float, quick: bool
) -> History:
    """One disaster from beginning to end, and what is owed after it."""
    disaster = DISASTERS[name]
    async with ground(nursery, clock, server, seed, home) as made:
        if quick:
            made.player.pace_s /= 2
        try:
            await disaster.run(made, for_s, quick)
            if disaster.audited:
                await audit(made, disaster.receipts)
        except NeverCame as error:
            made.history.breach(str(error))
        return made.history
