"""An event loop whose time is a number: nothing waits, nothing is threaded, and the same calls come in the same order.

When nothing is ready, time steps to the next timer. What belongs to a process carries its number in its context, so that
the process can be killed between any two steps: whatever it had on the way never runs again.
"""

import asyncio
import contextvars
import heapq
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

PROCESS: contextvars.ContextVar[int] = contextvars.ContextVar("process", default=0)
"""Which life of the service a piece of code belongs to; 0: the world around it."""


FEW_TIMERS = 100
"""With more of them, and half of them cancelled, those are thrown away."""


class VirtualLoop(asyncio.SelectorEventLoop):
    _ready: deque[Any]
    _scheduled: list[tuple[float, int, Any]]
    """When, which one, and the timer: compared without a call of Python's."""
    _stopping: bool
    _clock_resolution: float
    _timer_cancelled_count: int

    def __init__(self) -> None:
        self._now = 0.0
        self._asked_for = 0
        self.steps = 0
        self.before_step: Callable[[], None] | None = None
        """Called between any two rounds of ready callbacks: where a kill may strike."""
        self.idle: Callable[[float | None], float | None] | None = None
        """Called when nothing is ready, with the time of the next timer: an earlier time at which to be asked again, or None."""
        self._tasks: dict[int, list[asyncio.Task[Any]]] = {}
        self._dead: set[int] = set()
        super().__init__()
        self.set_task_factory(self._made)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now

    def _pass_time(self, upcoming: float | None) -> None:
        sooner = self.idle(upcoming) if self.idle is not None else None
        if self._ready:
            return
        if sooner is not None and (upcoming is None or sooner < upcoming):
            upcoming = sooner
        if upcoming is None:
            raise RuntimeError("everybody waits for somebody else: nothing will ever happen again")
        self._now = max(self._now, upcoming)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        """As every loop does it, without the questions for which there are other threads."""
        handle: asyncio.Handle = _filled(_blank(asyncio.Handle), callback, args, self, context)
        if self._dead and context is not None and context.get(PROCESS, 0) in self._dead:
            handle.cancel()  # an answer that came too late for whoever waited for it
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        """Of one instant, in the order in which they were asked for."""
        timer: asyncio.TimerHandle = _filled(_blank(asyncio.TimerHandle), callback, args, self, context)
        timer._when, timer._scheduled = when, True  # type: ignore[attr-defined]
        self._asked_for += 1
        heapq.heappush(self._scheduled, (when, self._asked_for, timer))
        return timer

    def _run_once(self) -> None:
        """As every loop does it, in the same order, and without looking for sockets."""
        self.steps += 1
        if self.before_step is not None:
            self.before_step()
        self._forget_cancelled()
        ready, scheduled = self._ready, self._scheduled
        if not ready and not self._stopping and not (scheduled and scheduled[0][0] <= self._now):
            self._pass_time(scheduled[0][0] if scheduled else None)
        until = self._now + self._clock_resolution
        while scheduled and scheduled[0][0] < until:
            timer = heapq.heappop(scheduled)[2]
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"Exception in callback {handle._callback!r}", "exception": error})

    def _forget_cancelled(self) -> None:
        scheduled = self._scheduled
        if len(scheduled) > FEW_TIMERS and self._timer_cancelled_count > len(scheduled) / 2:
            for _, _, timer in scheduled:
                timer._scheduled = not timer._cancelled
            scheduled[:] = [entry for entry in scheduled if not entry[2]._cancelled]
            heapq.heapify(scheduled)
            self._timer_cancelled_count = 0
        while scheduled and scheduled[0][2]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)[2]._scheduled = False

    def _made(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kw: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **kw)
        context = kw.get("context")
        number = PROCESS.get() if context is None else context.get(PROCESS, 0)
        if number:
            mine = self._tasks.setdefault(number, [])
            mine.append(task)
            if len(mine) > 2_000:
                self._tasks[number] = [t for t in mine if not t.done()]
        return task

    def kill(self, number: int) -> None:
        """Nothing of this process runs any more, not even what it would do on its way out."""
        self._dead.add(number)
        tasks = [task for task in self._tasks.pop(number, ()) if not task.done()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                try:
                    task.get_coro().close()
                except BaseException:
                    continue  # a `finally` that wanted to wait: a dead process waits for nothing
        for handle in [*self._ready, *(timer for _, _, timer in self._scheduled)]:
            if handle._context.get(PROCESS, 0) == number:
                handle.cancel()


_blank: Any = object.__new__


def _filled(handle: Any, callback: Any, args: Any, loop: Any, context: Any) -> Any:
    """A handle as its own constructor makes it, which asks twice whether anybody is debugging."""
    handle._context = contextvars.copy_context() if context is None else context
    handle._loop, handle._callback, handle._args = loop, callback, args
    handle._cancelled, handle._repr = False, None
    return handle


def in_process(number: int) -> contextvars.Context:
    context = contextvars.Context()
    context.run(PROCESS.set, number)
    return context
