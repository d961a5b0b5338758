"""The alarm: loops have no ticks here. Their bells ring when something in the database is due, and never more often than
their intervals would have. That is the same work in far fewer wake-ups.
"""

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from service.loops.pulse import Loop
from service.parts import Parts
from tests.sim.loop import VirtualLoop

NEVER_S = 1e12
STUCK_LIMIT_S = 30.0
"""Between two looks at work that is due and cannot be done."""
_DUE = """SELECT (SELECT min(due_at) FROM lane WHERE due_at IS NOT NULL),
 (SELECT min(poll_at) FROM task WHERE poll_at IS NOT NULL),
 (SELECT min(min(place_at), min(deadline_at)) FROM task WHERE place_at IS NOT NULL),
 (SELECT min(at) FROM (SELECT min(due_at) AS at FROM job WHERE due_at IS NOT NULL
   UNION ALL SELECT min(abandoned_at) + 3600000 FROM lane WHERE abandoned > 0))"""
LOOKERS = ("courier", "reconciler", "submitter", "janitor")
"""In the order of what they look for, above."""
BOOKKEEPER, BOOKS_S = "bookkeeper", 60.0
"""It keeps what was counted, a minute late at most: with every second it would be most of what happens."""


@dataclass(slots=True)
class Bell:
    loop: Loop
    interval_s: float
    gap_s: float = 0.0
    rung_s: float = -NEVER_S
    due: int | None = None

    def rings_at(self, due: int, due_s: float, grid_s: float) -> float:
        if due != self.due:
            self.due, self.gap_s = due, self.interval_s
        at = max(due_s, self.rung_s + self.gap_s)
        return at if grid_s < 1 else math.ceil(at / grid_s) * grid_s

    def ring(self, now_s: float) -> None:
        self.rung_s, self.gap_s = now_s, min(self.gap_s * 2, STUCK_LIMIT_S)
        self.loop.bell.set()


class Alarm:
    def __init__(self, loops: Sequence[Loop], loop: VirtualLoop, parts: Parts, raw: sqlite3.Connection, grid_s: float) -> None:
        self._loop, self._parts, self._raw, self._grid_s = loop, parts, raw, grid_s
        self._bells: dict[str, Bell] = {}
        for each in loops:
            interval_s = max(each.interval_s, BOOKS_S) if each.name == BOOKKEEPER else each.interval_s
            self._bells[each.name] = Bell(each, interval_s)
            each.interval_s = NEVER_S
        self._seen_changes = -1
        self._due: dict[str, int | None] = {}
        self._booked = 0

    def ring_what_is_due(self) -> float | None:
        """Rings what may be rung now; the time of the next one."""
        changes = self._raw.total_changes
        if changes != self._seen_changes:
            self._seen_changes = changes
            self._due = dict(zip(LOOKERS, self._raw.execute(_DUE).fetchone(), strict=True))
        now_s, now = self._loop.time(), self._parts.clock()
        counted = sum(self._parts.metrics.ledger.totals.values())
        upcoming: float | None = None
        for name, bell in self._bells.items():
            due = (now if counted != self._booked else None) if name == BOOKKEEPER else self._due[name]
            if due is None:
                continue
            at = bell.rings_at(due, now_s + (due - now) / 1000, self._grid_s)
            if at <= now_s:
                if name == BOOKKEEPER:
                    self._booked = counted
                bell.ring(now_s)
                return now_s
            upcoming = at if upcoming is None else min(upcoming, at)
        return upcoming
