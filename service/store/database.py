"""The door to either engine: `group` (many callers, one commit), `write`, `read`; nothing else opens a transaction."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from service.domain.errors import Unavailable
from service.domain.ids import Ids

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_inside: ContextVar[bool] = ContextVar("inside_transaction", default=False)


@dataclass(slots=True)
class Tx:
    """An open write transaction, with the clock and the names that its rows get."""

    sql: Connection
    ids: Ids
    now: int
    unsent: list[Any] | None = None
    """What store/bulk.py sends together."""

    @property
    def postgres(self) -> bool:
        return self.sql.dialect.name == "postgresql"


Verb = Callable[[Tx, Any, Sequence[Any]], Sequence[Any]]
"""What a group commit runs: all items of one kind, in order of arrival, with the context they share; one answer each."""


class Database(Protocol):
    """Both engines behind one interface."""

    ids: Ids
    clock: Callable[[], int]
    """Milliseconds; what every timestamp is told by. On PostgreSQL the same one for all processes."""

    shared: bool
    """Other processes may work on it, too."""

    @property
    def crowded(self) -> bool:
        """More comes than can be stored: newcomers had better come again."""
        ...

    def group(self, verb: Verb, context: Any, item: Any, within_s: float | None = None, short: bool = True) -> Future[Any]:
        """Run `verb` on this item together with whatever else is waiting; return its answer once it is durable. `Unavailable`
        when that was not within so many seconds: it may be stored all the same. `short`: it takes microseconds for each item, however much is stored."""
        ...

    async def write(self, act: Callable[[Tx], Answer], short: bool = False) -> Answer:
        """One transaction of its own. `short` as above."""
        ...

    async def read(self, look: Callable[[Connection], Answer]) -> Answer: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def inside_transaction() -> str | None:
    """The hook of the HTTP transport: no network inside a transaction."""
    return "a request inside a database transaction" if _inside.get() else None


def run_inside(act: Callable[[Tx], Answer], tx: Tx) -> Answer:
    token = _inside.set(True)
    try:
        return act(tx)
    finally:
        _inside.reset(token)


_TROUBLE = ("08", "25", "28", "3D", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE that speak of the server or of our way to it: connections, a standby that only reads, logins, lost
races, full disks and too many connections, locks, shutdowns, broken files. The others speak of what was written."""


def translated(error: BaseException) -> BaseException:
    """The engine's own trouble as `Unavailable`; a fault of one item as it is."""
    match error:
        case IntegrityError():
            return error
        case OperationalError():
            return _unavailable(error)
        case DBAPIError() if error.connection_invalidated or str(getattr(error.orig, "sqlstate", None))[:2] in _TROUBLE:
            return _unavailable(error)
        case InterfaceError() if getattr(error.orig, "sqlstate", None) is None:
            return _unavailable(error)
        case OSError() | TimeoutError() | NoConnectionLeft():
            return Unavailable(f"the database cannot be reached: {type(error).__name__}")
        case _:
            return error


def _unavailable(error: DBAPIError) -> Unavailable:
    return Unavailable(f"the database cannot take it now: {_first_line(error.orig or error)}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


Commit = Callable[[Callable[[Tx], Any], bool], Awaitable[Any]]
"""Runs an act in one transaction of an engine and returns its answer after the commit. True: the act is a short one."""
