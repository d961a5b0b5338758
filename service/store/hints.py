"""Carries bells from process to process over PostgreSQL's LISTEN and NOTIFY, on one connection of its own.

Hints only, outside every transaction that matters, and many in one: whoever misses one finds the same work by polling.
Absent on purpose: truth, and SQLite, which has one process.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service.bells import Bell, Watch

log = logging.getLogger("callsheet.hints")

CHANNEL = "callsheet"
SPACING_S = 0.02
"""Between two notifications of one process. Each is a commit that all others wait for: fifty a second cost nothing, and one
for each small commit would cost two thirds of them."""
TASKS_LIMIT = 300
"""Names in one notification, which holds 8,000 bytes. More tasks at once: whoever waits for any looks."""
BEAT_S = 30.0
"""A connection that nobody speaks on may be long dead."""
ANSWER_S = 10.0
PAUSE_LIMIT_S = 30.0
"""Between attempts to connect again."""
GOODBYE_S = 1.0
ANY = "*"


class Hints:
    def __init__(self, engine: AsyncEngine, bells: Mapping[str, Bell], watch: Watch[Any]) -> None:
        """`engine` gives connections that end when they are let go."""
        self._engine, self._bells, self._watch = engine, bells, watch
        self._rung: set[str] = set()
        self._changed: set[int] = set()
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()

    def start(self) -> None:
        for name, bell in self._bells.items():
            bell.carrier = partial(self._tell, name)
        self._watch.carrier = self._tell_changed
        self._task = asyncio.create_task(self._run(), name="hints")

    async def stop(self) -> None:
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=GOODBYE_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- to the others ---

    def _tell(self, name: str) -> None:
        self._rung.add(name)
        self._wake.set()

    def _tell_changed(self, task_id: int) -> None:
        if len(self._changed) <= TASKS_LIMIT:
            self._changed.add(task_id)
        self._wake.set()

    def _taken(self) -> str:
        tasks = ANY if len(self._changed) > TASKS_LIMIT else " ".join(map(str, self._changed))
        said = f"{' '.join(self._rung)}|{tasks}" if self._rung or tasks else ""
        self._rung.clear()
        self._changed.clear()
        return said

    # --- from the others ---

    def _hear(self, connection: Any, sender: int, _channel: str, said: object) -> None:
        if sender == connection.get_server_pid():
            return
        names, _, tasks = str(said).partition("|")
        for name in names.split():
            if name in self._bells:  # another version may ring what is not known here
                self._bells[name].set()
        self._watch.look(None if tasks == ANY else [int(name) for name in tasks.split() if name.isdecimal()])

    def _catch_up(self) -> None:
        """Nobody knows what was said while we did not listen."""
        for bell in self._bells.values():
            bell.set()
        self._watch.look()

    # --- the connection ---

    async def _run(self) -> None:
        errors = 0
        while not self._closing:
            try:
                async with self._engine.connect() as connection:
                    raw: Any = (await connection.get_raw_connection()).driver_connection
                    raw.add_termination_listener(lambda _: self._wake.set())
                    await raw.add_listener(CHANNEL, self._hear)
                    errors = 0
                    self.listening.set()
                    self._catch_up()
                    await self._carry(raw)
            except Exception as error:  # whatever it was: polling goes on, and so do we
                errors += 1
                log.warning("hints.lost", extra={"reason": f"{type(error).__name__}: {error}"[:200], "errors": errors})
            self.listening.clear()
            if not self._closing:
                pause_s = min(0.1 * 2 ** min(errors, 10), PAUSE_LIMIT_S)
                await self._rest(pause_s * (0.5 + random.random() / 2))

    async def _carry(self, raw: Any) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._wake.wait()
            except TimeoutError:
                await raw.execute("SELECT 1", timeout=ANSWER_S)
                continue
            self._wake.clear()
            if raw.is_closed():
                raise ConnectionError("the connection was closed")
            if not self._closing and (said := self._taken()):
                await raw.execute("SELECT pg_notify($1, $2)", CHANNEL, said, timeout=ANSWER_S)
                await asyncio.sleep(SPACING_S)

    async def _rest(self, pause_s: float) -> None:
        """What is said meanwhile is not carried: the others poll."""
        end = asyncio.get_running_loop().time() + pause_s
        while not self._closing and (left_s := end - asyncio.get_running_loop().time()) > 0:
            self._wake.clear()
            self._taken()
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                return
