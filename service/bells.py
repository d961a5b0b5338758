"""What the loops and the waiting callers of one process tell each other in memory, and what is carried to other processes.

Only hints: whoever misses one finds the same work by its timestamp in the database. Absent on purpose: truth.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Bell(asyncio.Event):
    """`set()` wakes whoever waits in this process. `ring()` says that there is something for any process: where a carrier is
    given, the others hear it too."""

    carrier: Callable[[], None] | None = None

    def ring(self) -> None:
        self.set()
        self.tell()

    def tell(self) -> None:
        """The others: this process knows already."""
        if self.carrier is not None:
            self.carrier()


class Tray(Generic[Work]):
    """Work just committed and already leased to this process, on its way to a loop; bounded, the rest stays due."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: deque[Work] = deque()
        self.bell = Bell()
        self.open = False
        """A loop of this process empties it; otherwise nothing may be leased into it."""
        self.under_way = 0
        """Taken out and not finished; it counts against the limit."""
        self.full: frozenset[int] = frozenset()
        """For whom nothing more may be put in: their own share of this process's memory is used up."""
        self.promised = 0
        """Work that this process has committed so far, or was about to."""

    def room(self) -> int:
        return max(0, self._limit - len(self._work) - self.under_way) if self.open else 0

    def put(self, work: Iterable[Work]) -> None:
        self._work.extend(work)
        self.bell.set()

    def take(self, most: int) -> list[Work]:
        return [self._work.popleft() for _ in range(min(most, len(self._work)))]

    def __len__(self) -> int:
        return len(self._work)


class Withdrawn:
    """What is not to be sent any more as it is in hand: deliveries with the fence, or subscriptions with the version, below
    which it is old. Each is remembered for as long as a lease lasts."""

    def __init__(self) -> None:
        self._floors: dict[int, tuple[int, int]] = {}

    def add(self, floors: Iterable[tuple[int, int]], now: int, until: int) -> None:
        """A floor only rises: one that was read before another commit is known here after it, maybe."""
        self._floors = {i: kept for i, kept in self._floors.items() if kept[1] > now}
        for name, floor in floors:
            self._floors[name] = (max(floor, self._floors.get(name, (0, 0))[0]), until)

    def covers(self, name: int, number: int) -> bool:
        kept = self._floors.get(name)
        return kept is not None and number < kept[0]


class Watch(Generic[Work]):
    """Callers that wait for the next change of a task, and are handed the task as it is then."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Future[Work | None]]] = {}
        self.closed = False
        self.carrier: Callable[[int], None] | None = None

    def changed(self, task_id: int, now: Work) -> None:
        self._answer(task_id, now)
        if self.carrier is not None:
            self.carrier(task_id)

    def look(self, task_ids: Iterable[int] | None = None) -> None:
        """These tasks have changed elsewhere, or nobody knows which: whoever waits for one looks at the database."""
        for task_id in list(self._waiting) if task_ids is None else task_ids:
            self._answer(task_id, None)

    def close(self) -> None:
        """The service stops: whoever waits is answered with what is known."""
        self.closed = True
        self.look()

    def _answer(self, task_id: int, now: Work | None) -> None:
        for future in self._waiting.pop(task_id, ()):
            if not future.done():
                future.set_result(now)

    async def wait(self, task_id: int, timeout_s: float) -> Work | None:
        """None when the time is over, the service stops, or another process has changed it."""
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
