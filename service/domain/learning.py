"""Learning: how long tasks of one provider and model usually stay silent in one state.

Durations fall into buckets that grow by a quarter, so that a few dozen counters hold any history and any quantile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, log

from service.domain.patience import Pace

GROWTH = 1.25
ENOUGH = 30
"""Samples below which the documented figures are better than ours."""
MANY = 2_000
"""Samples at which all counters are halved, so that what is new counts more than what was."""
MARGIN = 1.5
"""Of the 95th percentile: silence beyond it is abnormal."""
LEAST_S, MOST_S = 60.0, 7_200.0
FIRST_LOOK_LEAST_S, FIRST_LOOK_MOST_S = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Learned:
    count: int
    p50_s: float
    p95_s: float


def bucket(duration_ms: int) -> int:
    return 0 if duration_ms <= 1_000 else ceil(log(duration_ms / 1_000) / log(GROWTH))


def top_s(number: int) -> float:
    """The longest duration of a bucket."""
    return float(GROWTH**number)


def quantile_s(counts: Mapping[int, int], share: float) -> float:
    wanted = share * sum(counts.values())
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= wanted:
            return top_s(number)
    return 0.0


def learned(counts: Mapping[int, int]) -> Learned:
    return Learned(sum(counts.values()), quantile_s(counts, 0.5), quantile_s(counts, 0.95))


def fitted(pace: Pace, queued: Learned | None, running: Learned | None) -> Pace:
    """The pace with what was learned in place of what is documented, where there is enough of it."""
    return replace(pace, queued_s=_wait_s(pace, pace.queued_s, queued), running_s=_wait_s(pace, pace.running_s, running))


def _wait_s(pace: Pace, otherwise_s: float, known: Learned | None) -> float:
    if known is None or known.count < ENOUGH:
        return otherwise_s
    if pace.called_back:
        return min(max(known.p95_s * MARGIN, LEAST_S), MOST_S)
    return min(max(known.p50_s, FIRST_LOOK_LEAST_S), FIRST_LOOK_MOST_S)
