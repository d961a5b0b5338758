"""When whoever comes is told to come again: as soon as he would have to wait too long, and not when memory is full."""

CROWDED_S = 0.5
"""For a commit, by what batches take. Refused early, he costs little."""
STUCK_S = 2.0
"""Whatever batches took before, the one under way does not end: longer than a slow disk needs, and soon enough for a provider
that gives up after 5 s (Ark)."""
LATE_S = 0.5
"""Of the event loop itself: a machine that is too slow to read what comes has its queue where nobody can count it."""
NEWS = 0.3
"""Weight of the last batch in what a batch takes."""


def crowded(waiting: int, batch_limit: int, at_once: int, batch_s: float, oldest_s: float) -> bool:
    """`waiting` operations share batches of at most `batch_limit`, so many `at_once`, which lately took `batch_s`; the one
    that waits longest has waited `oldest_s`, which tells of a batch that does not end."""
    ahead_s = waiting / batch_limit / at_once * batch_s
    return waiting > 0 and (ahead_s > CROWDED_S or oldest_s > STUCK_S)


def lately(batch_s: float, took_s: float) -> float:
    """What a batch takes, after one more."""
    return batch_s + NEWS * (took_s - batch_s)
