"""The real store in memory, on a disk that can fail and that outlives every life of the service."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import OperationalError

from service.domain.ids import Ids
from service.store.database import Tx
from service.store.sqlite import SQLite


@dataclass(slots=True)
class Disk:
    """What the database lies on, and what is wrong with it now."""

    fail: int = 0
    """So many of the next transactions are interrupted."""
    after_steps: int = 1
    """…so far into them."""
    forget: int = 0
    """So many commits are durable, and their answer is lost."""
    failed: int = 0
    forgotten: int = 0
    full: int = 0


class Store(SQLite):
    """The real store in memory, with a disk that can fail and that outlives it."""

    def __init__(self, ids: Ids, clock: Callable[[], int], disk: Disk, old: "Store | None") -> None:
        super().__init__(":memory:", ids, clock, inline=True)
        self._disk = disk
        if old is not None:
            self.engine.dispose()
            self.engine = self._reader = old.engine
        self.raw: sqlite3.Connection = old.raw if old is not None else self.engine.raw_connection().driver_connection  # type: ignore[assignment]

    async def stop(self) -> None:
        await self._group.stop()

    def dead(self) -> None:
        """Whoever still calls is told that it is stopping."""
        self._group._closing = True

    def _transact(self, act: Callable[[Tx], Any]) -> Any:
        disk = self._disk
        if disk.fail > 0:
            disk.fail -= 1
            struck = iter((1,))
            self.raw.set_progress_handler(lambda: next(struck, 0), disk.after_steps)
            try:
                return super()._transact(act)
            except OperationalError:
                disk.failed += 1
                raise
            finally:
                self.raw.set_progress_handler(None, 0)
        try:
            answer = super()._transact(act)
        except OperationalError as error:
            disk.full += "full" in str(error)
            raise
        if disk.forget > 0:
            disk.forget -= 1
            disk.forgotten += 1
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("its answer was lost"))
        return answer
