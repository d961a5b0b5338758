"""What the loops and the waiting callers of one process tell each other in memory.

Only hints: whoever misses one finds the same work by its timestamp in the database. Absent on purpose: truth.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Tray(Generic[Work]):
    """Work just committed and already leased to this process, on its way to a loop; bounded, the rest stays due."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: deque[Work] = deque()
        self.bell = asyncio.Event()
        self.open = False
        """A loop of this process empties it; otherwise nothing may be leased into it."""
        self.under_way = 0
        """Taken out and not finished; it counts against the limit."""
        self.full: frozenset[int] = frozenset()
        """For whom nothing more may be put in: their own share of this process's memory is used up."""

    def room(self) -> int:
        return max(0, self._limit - len(self._work) - self.under_way) if self.open else 0

    def put(self, work: Iterable[Work]) -> None:
        self._work.extend(work)
        self.bell.set()

    def take(self, most: int) -> list[Work]:
        return [self._work.popleft() for _ in range(min(most, len(self._work)))]

    def __len__(self) -> int:
        return len(self._work)


class Watch(Generic[Work]):
    """Callers that wait for the next change of a task, and are handed the task as it is then."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Future[Work | None]]] = {}
        self.closed = False

    def changed(self, task_id: int, now: Work) -> None:
        for future in self._waiting.pop(task_id, ()):
            if not future.done():
                future.set_result(now)

    def close(self) -> None:
        """The service stops: whoever waits is answered with what is known."""
        self.closed = True
        for waiting in list(self._waiting.values()):
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait(self, task_id: int, timeout_s: float) -> Work | None:
        """None when the time is over, or the service stops."""
        if self.closed:
            return None
        future: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(task_id, set())
        waiting.add(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(task_id) is waiting:
                del self._waiting[task_id]
