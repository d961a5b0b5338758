"""How much of what callers send this process holds at once: an order may carry 64 MiB of pictures, and a hundred of those
at once would be all the memory there is. Whoever exceeds it is told to come again; small bodies are not counted, the
number of those who wait bounds them."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.domain.errors import Unavailable

LIMIT = 256 * 1024 * 1024
"""Bytes of all bodies under way: four of the largest orders, or two hundred of the largest callbacks."""
SMALL = 16 * 1024


class Bodies:
    def __init__(self) -> None:
        self.held = 0

    @contextmanager
    def holding(self) -> Iterator["Held"]:
        held = Held(self)
        try:
            yield held
        finally:
            self.held -= held.size


class Held:
    """The share of one request."""

    __slots__ = ("_bodies", "size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies, self.size = bodies, 0

    def now(self, size: int) -> None:
        """It is that large by now."""
        if size > SMALL:
            self._bodies.held += size - self.size
            self.size = size
            if self._bodies.held > LIMIT:
                raise Unavailable("too much at once")
