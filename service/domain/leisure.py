"""How fast a backlog of notices is sent while callers come to a full process: they are answered first.

An answer to a caller takes some ten turns of the loop, and whoever sends as fast as he can makes every turn long. Nothing
is held back where nobody comes, or where there is time left.
"""

from service.domain.crowd import lately

FULL = 0.85
"""Share of its time in which the loop is at work; above it, waiting grows faster than what is done."""
LEAST_GAP_S, MOST_GAP_S = 0.0002, 0.01
STEP = 1.5
"""The gap grows by it in each full moment, and shrinks by it in each other."""
AHEAD = 1.5
"""However full it is, the gap lets so many times what is promised meanwhile be sent. Whether the machine can is another matter."""


class Leisure:
    """The gap between two attempts."""

    def __init__(self) -> None:
        self.gap_s = 0.0
        self._free_at_s = 0.0
        self._promised = 0
        self._promised_per_s = 0.0

    def felt(self, busy: float, callers: int, over_s: float, promised: int) -> None:
        """Of the last moment: the loop's share, who came, how long it was; and the deliveries promised since the start."""
        self._promised_per_s = lately(self._promised_per_s, (promised - self._promised) / over_s)
        self._promised = promised
        if callers and busy > FULL:
            gap_s = min(max(LEAST_GAP_S, self.gap_s * STEP), MOST_GAP_S)
            self.gap_s = min(gap_s, 1 / (AHEAD * self._promised_per_s)) if self._promised_per_s > 0 else gap_s
        else:
            self.gap_s = self.gap_s / STEP if self.gap_s > LEAST_GAP_S else 0.0

    def wait_s(self, now_s: float) -> float:
        """Before the next attempt. Each call is one: the places are taken in order, and who slept too long is made up for."""
        if self.gap_s == 0.0:
            return 0.0
        self._free_at_s = max(self._free_at_s, now_s - MOST_GAP_S) + self.gap_s
        return max(0.0, self._free_at_s - now_s)
