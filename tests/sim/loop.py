"""An event loop whose time is a number: nothing waits, nothing is threaded, and the same calls come in the same order.

When nothing is ready, time steps to the next timer. What belongs to a process carries its number in its context, so that
the process can be killed between any two steps: whatever it had on the way never runs again.
"""

import asyncio
import contextvars
import selectors
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

PROCESS: contextvars.ContextVar[int] = contextvars.ContextVar("process", default=0)
"""Which life of the service a piece of code belongs to; 0: the world around it."""


class _NoSockets(selectors.SelectSelector):
    """Never looks at a socket: it is asked only how long to wait, and that is where time passes."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self.loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _NoSockets()
        selector.loop = self
        self._now = 0.0
        self.steps = 0
        self.before_step: Callable[[], None] | None = None
        """Called between any two rounds of ready callbacks: where a kill may strike."""
        self.idle: Callable[[float | None], float | None] | None = None
        """Called when nothing is ready, with the time of the next timer: an earlier time at which to be asked again, or None."""
        self._tasks: dict[int, list[asyncio.Task[Any]]] = {}
        self._dead: set[int] = set()
        super().__init__(selector)
        self.set_task_factory(self._made)

    def time(self) -> float:
        return self._now

    def pass_time(self, timeout: float | None) -> None:
        upcoming = None if timeout is None else self._scheduled[0]._when  # type: ignore[attr-defined]
        sooner = self.idle(upcoming) if self.idle is not None else None
        if self._ready:  # type: ignore[attr-defined]
            return
        if sooner is not None and (upcoming is None or sooner < upcoming):
            upcoming = sooner
        if upcoming is None:
            raise RuntimeError("everybody waits for somebody else: nothing will ever happen again")
        self._now = max(self._now, upcoming)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        if self._dead and context is not None and context.get(PROCESS, 0) in self._dead:
            handle.cancel()  # an answer that came too late for whoever waited for it
        return handle

    def _run_once(self) -> None:
        self.steps += 1
        if self.before_step is not None:
            self.before_step()
        super()._run_once()  # type: ignore[misc]

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
                    task.get_coro().close()  # type: ignore[union-attr]
                except BaseException:
                    continue  # a `finally` that wanted to wait: a dead process waits for nothing
        for handle in [*self._ready, *self._scheduled]:  # type: ignore[attr-defined]
            if handle._context.get(PROCESS, 0) == number:
                handle.cancel()


def in_process(number: int) -> contextvars.Context:
    context = contextvars.Context()
    context.run(PROCESS.set, number)
    return context
