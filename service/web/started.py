"""Begin to await something, and see whether it is here already: a callback's body mostly is, and a timer for each that need
not wait costs more than reading it."""

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Started(Generic[Value]):
    """`here` is the value, when nothing had to be waited for; otherwise await this for it, once."""

    __slots__ = ("_steps", "_waits_for", "here")

    def __init__(self, steps: Generator[Any, Any, Value]) -> None:
        self.here: Value | None = None
        self._steps = steps
        self._waits_for: Any = None
        try:
            self._waits_for = next(steps)
        except StopIteration as done:
            self.here = done.value

    def __await__(self) -> Generator[Any, Any, Value]:
        waits_for = self._waits_for
        while True:
            thrown: BaseException | None = None
            sent: Any = None
            try:
                sent = yield waits_for
            except BaseException as error:  # a cancellation comes in here
                thrown = error
            try:
                waits_for = self._steps.send(sent) if thrown is None else self._steps.throw(thrown)
            except StopIteration as done:
                value: Value = done.value
                return value


def started(awaitable: Awaitable[Value]) -> Started[Value]:
    return Started(awaitable.__await__())
