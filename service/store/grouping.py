"""Group commit by natural batching: whatever arrived while the last commit ran shares the next one.

No artificial delay: a lone caller commits at once, a crowd shares one fsync. A batch that fails for the fault of one of
its items is split until the poisoned one fails alone; a batch that fails because the engine cannot write fails as a
whole, with an error that says so, and nothing of it was stored.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from service.domain import crowd
from service.domain.errors import Unavailable
from service.store.database import Commit, Tx, Verb, translated

QUEUE_LIMIT = 8_192
"""Waiting operations: some tenths of a second of work. More callers are told to come again."""
FULL = 24
"""With fewer waiting, a second transaction beside the one under way costs more than it gains: two halves for one whole."""
BATCH_LIMIT = 512
"""Operations in one transaction: beyond it latency grows and throughput does not."""
HELD_S = 0.02
"""Batches that run on the loop are as long as keeps it from its other callers for about so long,"""
LEAST = 32
"""but no shorter than this: a commit has its price."""


@dataclass(slots=True, eq=False)
class Op:
    verb: Verb
    context: Any
    item: Any
    done: asyncio.Future[Any]
    since: float
    """Of the loop's clock."""
    short: bool


class Group:
    def __init__(
        self,
        commits: Sequence[Commit],
        queue_limit: int = QUEUE_LIMIT,
        batch_limit: int = BATCH_LIMIT,
        apart: bool = False,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """One runner for each of `commits`: that many transactions may be under way at once. `apart`: what is short runs on the
        loop, and shares no transaction with what is not."""
        self._commits = commits
        self._apart = apart
        self._lines: list[deque[Op]] = [deque() for _ in range(2 if apart else 1)]
        self._queue_limit, self._batch_limit = queue_limit, batch_limit
        self._clock_s = clock_s
        self._most = batch_limit
        """Of the next batch."""
        self._wakes = [(FULL if number else 1, asyncio.Event()) for number in range(len(commits))]
        self._runners: list[asyncio.Task[None]] = []
        self._closing = False
        self._batch_s = 0.0
        self._hurried: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines))

    @property
    def crowded(self) -> bool:
        """For newcomers from outside. The loops' own work is not turned away: to do it twice costs more."""
        if not (line := self._oldest()):
            return False
        oldest_s = asyncio.get_running_loop().time() - line[0].since
        return crowd.crowded(self.waiting, self._most, len(self._commits), self._batch_s, oldest_s)

    def do(self, verb: Verb, context: Any, item: Any, within_s: float | None = None, short: bool = True) -> asyncio.Future[Any]:
        """With `within_s`, `Unavailable` when there is no answer by then; whether it is stored is not known. `short`: it takes
        microseconds for each item, and no longer however much is stored."""
        if self._closing:
            raise Unavailable("the service is stopping")
        if self.waiting >= self._queue_limit:
            raise Unavailable("too much at once")
        loop = asyncio.get_running_loop()
        op = Op(verb, context, item, loop.create_future(), loop.time(), short)
        self._lines[0 if short else -1].append(op)
        waiting = self.waiting
        for least, wake in self._wakes:
            if waiting >= least:
                wake.set()
        if within_s is not None:
            self._hurry(op.done, within_s)
        return op.done

    def _hurry(self, done: asyncio.Future[Any], within_s: float) -> None:
        """One timer for all: whoever asks for a bound asks for the same, so they run out in order of arrival."""
        while self._hurried and self._hurried[0][1].done():
            self._hurried.popleft()
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        self._hurried.append((until, done))
        if self._timer is None or self._timer.when() > until:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(until, self._give_up)

    def _give_up(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._hurried and (self._hurried[0][1].done() or self._hurried[0][0] <= loop.time()):
            _, done = self._hurried.popleft()
            if not done.done():
                done.set_exception(Unavailable("the database takes too long"))
        if self._hurried:
            self._timer = loop.call_at(self._hurried[0][0], self._give_up)

    def start(self) -> None:
        self._runners = [
            asyncio.create_task(self._run(commit, least, wake), name="group commit")
            for commit, (least, wake) in zip(self._commits, self._wakes, strict=True)
        ]

    async def stop(self) -> None:
        """Finish what is waiting, then end."""
        self._closing = True
        for _, wake in self._wakes:
            wake.set()
        await asyncio.gather(*self._runners)
        if self._timer is not None:
            self._timer.cancel()

    async def _run(self, commit: Commit, least: int, wake: asyncio.Event) -> None:
        while True:
            while self.waiting < (1 if self._closing else least):
                if self._closing:
                    return
                wake.clear()
                await wake.wait()
                await asyncio.sleep(0)  # whoever is about to ask in this very turn of the loop shares the commit
            line = self._oldest()
            batch = [line.popleft() for _ in range(min(len(line), self._most))]
            began = asyncio.get_running_loop().time()
            await self._settle(commit, batch)
            self._batch_s = crowd.lately(self._batch_s, asyncio.get_running_loop().time() - began)

    def _oldest(self) -> deque[Op]:
        """The line whose first one has waited longest; an empty one when nobody waits."""
        first, last = self._lines[0], self._lines[-1]
        return last if last and not (first and first[0].since <= last[0].since) else first

    def _run_batch(self, tx: Tx, batch: Sequence[Op]) -> list[Any]:
        began = self._clock_s()
        answers = run_batch(tx, batch)
        if self._apart and batch[0].short:
            self._most = self._fitting(len(batch), self._clock_s() - began) if _on_the_loop() else self._batch_limit
        return answers

    def _fitting(self, count: int, took_s: float) -> int:
        """As many as hold up the loop for `HELD_S`, if a batch of so many took so long; a small one tells nothing."""
        if count < LEAST:
            return self._most
        return min(self._batch_limit, max(LEAST, int(count * HELD_S / took_s) if took_s > 0 else self._batch_limit))

    async def _settle(self, commit: Commit, batch: list[Op], again: bool = False) -> None:
        try:
            answers = await commit(lambda tx: self._run_batch(tx, batch), all(op.short for op in batch))
        except asyncio.CancelledError:
            for op in batch:
                op.done.cancel()
            raise
        except Exception as error:
            trouble = translated(error)
            if len(batch) == 1 and isinstance(trouble, IntegrityError) and not again:
                # Somebody else's row came first. Now it can be seen, and a name is drawn anew: once more.
                await self._settle(commit, batch, again=True)
                return
            if isinstance(trouble, Unavailable) or len(batch) == 1:
                for op in batch:
                    if not op.done.done():
                        op.done.set_exception(trouble)
                return
            middle = len(batch) // 2
            await self._settle(commit, batch[:middle])
            await self._settle(commit, batch[middle:])
            return
        for op, answer in zip(batch, answers, strict=True):
            if not op.done.done():
                op.done.set_result(answer)


def _on_the_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_batch(tx: Tx, batch: Sequence[Op]) -> list[Any]:
    """All operations of a kind in one call; the kinds in one fixed order, so that two batches never lock crosswise. Of one verb
    with several contexts, whoever came first: nothing hangs on where in memory they lie."""
    kinds: dict[tuple[Verb, int], list[int]] = {}
    for index, op in enumerate(batch):
        kinds.setdefault((op.verb, id(op.context)), []).append(index)
    answers: list[Any] = [None] * len(batch)
    for (verb, _), indexes in sorted(kinds.items(), key=lambda kind: kind[0][0].__qualname__):
        context = batch[indexes[0]].context
        found = verb(tx, context, [batch[i].item for i in indexes])
        for index, answer in zip(indexes, found, strict=True):
            answers[index] = answer
    return answers
