"""Ledger: what this process has counted since it last wrote to the database, and what all of them have learned.

Totals tell operators what callbacks saved; samples of durations tell the reconciler when silence is abnormal. Both may miss
the last second before a crash, and nothing else depends on them. What orders came to is counted exactly: in the transaction
that records it (`came_to`), and here for the metrics alone. Absent on purpose: I/O.
"""

from collections import Counter
from collections.abc import Mapping

from service.domain.learning import bucket
from service.domain.lifecycle import SETTLED, State
from service.domain.news import Source
from service.domain.task import Outcome, Submission, Task

NAIVE_MS = 10_000
"""What is saved is counted against a client that asks about every task every ten seconds."""
SAMPLED = (State.QUEUED, State.RUNNING)

HEALERS = {Source.CALLBACK: "callback", Source.POLL: "list", Source.OPERATOR: "operator", Source.SUBMIT: "answer"}
"""Who explained an order whose outcome nobody knew."""


def came_to(before: Submission, after: Submission, source: Source) -> str | None:
    """What is counted of a submission that this piece of news has changed."""
    if before.outcome is after.outcome or after.outcome is Outcome.SENDING:
        return None
    if before.outcome is Outcome.UNKNOWN:
        return f"healed_by_{HEALERS.get(source, 'operator')}"
    return str(after.outcome)


class Ledger:
    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str, str]] = Counter()
        """By provider, account and what; since the process began."""
        self._tallies: Counter[tuple[str, str, str]] = Counter()
        self._samples: Counter[tuple[str, str, str, int]] = Counter()

    def add(self, provider: str, account: str, what: str, count: int = 1) -> None:
        self._tallies[provider, account, what] += count
        self.totals[provider, account, what] += count

    def moved(self, before: Task, after: Task, source: Source, at: int | None, expected: bool) -> None:
        """One transition. `at`: when it happened by the provider's own word; None: just now. `expected`: this is news that the
        account calls back with."""
        provider, account = after.provider, after.account
        if provider is None or account is None:
            return
        placed = before.state is not State.CREATED
        if source is Source.CALLBACK:
            self.add(provider, account, "callbacks")
        elif source is Source.POLL and placed and expected:
            self.add(provider, account, "callbacks_missed")
        if placed and before.state in SAMPLED and (source is Source.CALLBACK or (source is Source.POLL and at is not None)):
            happened_at = after.updated_at if at is None else min(at, after.updated_at)
            if happened_at > before.updated_at:
                size = bucket(happened_at - before.updated_at)
                self._samples[provider, after.model, str(before.state), size] += 1
        if after.state in SETTLED and before.state not in SETTLED:
            self.add(provider, account, "ended")
            self.add(provider, account, "polls", after.polls)
            naive = (after.updated_at - after.created_at) // NAIVE_MS
            self.add(provider, account, "polls_avoided", max(0, naive - after.polls))

    def submission(self, before: Submission, after: Submission, source: Source) -> None:
        what = came_to(before, after, source)
        if what is not None:
            self.totals[after.provider, after.account, what] += 1

    def take(self) -> tuple[Mapping[tuple[str, str, str], int], Mapping[tuple[str, str, str, int], int]]:
        """What was counted since the last time."""
        taken = +self._tallies, +self._samples
        self._tallies, self._samples = Counter(), Counter()
        return taken

    def give_back(self, taken: tuple[Mapping[tuple[str, str, str], int], Mapping[tuple[str, str, str, int], int]]) -> None:
        """It could not be written."""
        self._tallies.update(taken[0])
        self._samples.update(taken[1])
