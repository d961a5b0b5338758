"""Idle connections, kept for the next request to the same place. Every step costs the same however many there are."""

import asyncio
from collections import OrderedDict
from typing import NamedTuple

from service.egress.connection import Connection

IDLE_LIMIT = 256
"""Altogether: a file descriptor each, and the usual limit of a process is 1,024."""
SHARE = 64
"""Of one place that nobody disputes. It may hold more while there is room, or a crowd of attempts at one address would dial
again and again; but what is beyond goes first, so that one busy subscriber cannot push out everybody else's."""
IDLE_S = 50.0
"""Under the 60 s after which most servers and balancers hang up."""


class Place(NamedTuple):
    """Connections are shared within one place. A trusted one never serves a guarded request: nobody checked its address."""

    scheme: str
    host: str
    port: int
    trusted: bool


class Pool:
    def __init__(self) -> None:
        self._idle: OrderedDict[Connection, tuple[Place, float]] = OrderedDict()
        """With the loop's time at which each has idled long enough, the oldest first."""
        self._places: dict[Place, OrderedDict[Connection, None]] = {}
        self._beyond: dict[Place, None] = {}
        """Places that hold more than their share; a handful at most."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, place: Place) -> Connection | None:
        """The one used last: the likeliest to be alive still."""
        kept = self._places.get(place)
        if kept is None:
            return None
        connection = next(reversed(kept))
        self.drop(connection)
        return connection

    def keep(self, place: Place, connection: Connection) -> None:
        if len(self._idle) >= IDLE_LIMIT:
            if len(self._places.get(place, ())) >= SHARE:
                connection.close()
                return
            rich = next(iter(self._beyond), None)
            oldest = next(iter(self._idle if rich is None else self._places[rich]))
            self.drop(oldest)
            oldest.close()
        loop = asyncio.get_running_loop()
        kept = self._places.setdefault(place, OrderedDict())
        kept[connection] = None
        if len(kept) > SHARE:
            self._beyond[place] = None
        self._idle[connection] = (place, loop.time() + IDLE_S)
        if self._timer is None:
            self._timer = loop.call_later(IDLE_S, self._sweep)

    def drop(self, connection: Connection) -> None:
        """Forgets it, wherever it stands; closes nothing."""
        if entry := self._idle.pop(connection, None):
            kept = self._places[entry[0]]
            del kept[connection]
            if len(kept) <= SHARE:
                self._beyond.pop(entry[0], None)
            if not kept:
                del self._places[entry[0]]

    def clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._idle):
            self.drop(connection)
            connection.close()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._idle:
            connection, (_, until) = next(iter(self._idle.items()))
            if until > loop.time():
                self._timer = loop.call_at(until, self._sweep)
                return
            self.drop(connection)
            connection.close()
