"""Group commit by natural batching: whatever arrived while the last commit ran shares the next one.

No artificial delay: a lone caller commits at once, a crowd shares one fsync. A batch that fails for the fault of one of
its items is split until the poisoned one fails alone; a batch that fails because the engine cannot write fails as a
whole, with an error that says so, and nothing of it was stored.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from service.domain.errors import Unavailable
from service.store.database import Commit, Tx, Verb, translated

QUEUE_LIMIT = 8_192
"""Waiting operations: some tenths of a second of work. More callers are told to come again."""
BATCH_LIMIT = 512
"""Operations in one transaction: beyond it latency grows and throughput does not."""


@dataclass(slots=True, eq=False)
class Op:
    verb: Verb
    context: Any
    item: Any
    done: asyncio.Future[Any]


class Group:
    def __init__(self, commits: Sequence[Commit], queue_limit: int = QUEUE_LIMIT, batch_limit: int = BATCH_LIMIT) -> None:
        """One runner for each of `commits`: that many transactions may be under way at once."""
        self._commits = commits
        self._queue: deque[Op] = deque()
        self._queue_limit, self._batch_limit = queue_limit, batch_limit
        self._wake = asyncio.Event()
        self._runners: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def do(self, verb: Verb, context: Any, item: Any) -> Any:
        if self._closing:
            raise Unavailable("the service is stopping")
        if len(self._queue) >= self._queue_limit:
            raise Unavailable("too much at once")
        op = Op(verb, context, item, asyncio.get_running_loop().create_future())
        self._queue.append(op)
        self._wake.set()
        return await op.done

    def start(self) -> None:
        self._runners = [asyncio.create_task(self._run(commit), name="group commit") for commit in self._commits]

    async def stop(self) -> None:
        """Finish what is waiting, then end."""
        self._closing = True
        self._wake.set()
        await asyncio.gather(*self._runners)

    async def _run(self, commit: Commit) -> None:
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_limit))]
            await self._settle(commit, batch)

    async def _settle(self, commit: Commit, batch: list[Op], again: bool = False) -> None:
        try:
            answers = await commit(lambda tx: run_batch(tx, batch))
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


def run_batch(tx: Tx, batch: Sequence[Op]) -> list[Any]:
    """All operations of a kind in one call; the kinds in one fixed order, so that two batches never lock crosswise."""
    kinds: dict[tuple[str, int, Verb], list[int]] = {}
    for index, op in enumerate(batch):
        kinds.setdefault((op.verb.__qualname__, id(op.context), op.verb), []).append(index)
    answers: list[Any] = [None] * len(batch)
    for (_, _, verb), indexes in sorted(kinds.items(), key=lambda kind: kind[0][:2]):
        context = batch[indexes[0]].context
        found = verb(tx, context, [batch[i].item for i in indexes])
        for index, answer in zip(indexes, found, strict=True):
            answers[index] = answer
    return answers
