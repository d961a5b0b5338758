"""Sharing: which app has its turn at an account that many wait for.

Every account has a clock of its own, which one start moves on by 1 / (the weights of all who wait there). An app's next order
begins where its last one ended, 1 / (its weight) later; whoever has begun may go, and who ends first goes first. So each app
gets its share to within an order or two, whatever it is called and however long its orders run, and whoever waits is served.

Worst-case fair weighted queueing (WF2Q+, Bennett and Zhang, 1997): plain stride scheduling lets a heavy app wait for one order
of each of the light ones. What is in flight has no memory, and is not asked: under a cap of one it is 0 for everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

UNIT = 1 << 30
"""One order of an app of weight 1. Eight thousand million of them fit into what a row can hold."""


@dataclass(slots=True)
class Shares:
    """Of one account."""

    clock: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    """By app: where its last order ended."""

    def begins(self, app: str, weight: int) -> int:
        """Whoever was away keeps the claim to one order and no more: nobody saves turns up."""
        return max(self.ended.get(app, self.clock), self.clock - UNIT // weight)

    def serve(self, waiting: Mapping[str, int], weights: Mapping[str, int]) -> str:
        """The app that goes now, of those that wait (with their oldest order, which breaks ties)."""
        begin = {app: self.begins(app, weights.get(app, 1)) for app in waiting}
        self.clock = max(self.clock, min(begin.values()))
        end = {app: at + UNIT // weights.get(app, 1) for app, at in begin.items() if at <= self.clock}
        chosen = min(end, key=lambda app: (end[app], waiting[app]))
        self.ended[chosen] = end[chosen]
        self.clock += UNIT // sum(weights.get(app, 1) for app in waiting)
        return chosen
