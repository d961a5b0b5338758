"""One life of the service: its real parts on the database that the last life left, from start to stop or kill.

Loops have no ticks here: an alarm rings their bells when something in the database is due, and never more often than
their intervals would have. That is the same work in far fewer wake-ups.
"""

import asyncio
import math
import random
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from sqlalchemy.exc import OperationalError

from service.accounts import Accounts, Desk
from service.app import prepare
from service.channels.registry import CHANNELS
from service.domain.catalog import Catalog
from service.domain.ids import Ids
from service.domain.keep import Keep
from service.loops import Loops
from service.loops.pulse import Loop
from service.parts import Parts
from service.signing import CallbackTokens, Seal
from service.store.database import Tx, inside_transaction
from service.store.sqlite import SQLite
from service.web.guard import Guard
from service.web.site import site
from tests.sim.loop import VirtualLoop, in_process
from tests.world import ADMIN, ENCRYPTION, SIGNING

Answer = TypeVar("Answer")
NEVER_S = 1e12
STUCK_LIMIT_S = 30.0
"""Between two looks at work that is due and cannot be done."""
SEALS = Seal(ENCRYPTION)
CATALOG = Catalog.default()
_DUE = """SELECT (SELECT min(due_at) FROM lane WHERE due_at IS NOT NULL),
 (SELECT min(poll_at) FROM task WHERE poll_at IS NOT NULL),
 (SELECT min(min(place_at), min(deadline_at)) FROM task WHERE place_at IS NOT NULL),
 (SELECT min(at) FROM (SELECT min(due_at) AS at FROM job WHERE due_at IS NOT NULL
   UNION ALL SELECT min(abandoned_at) + 3600000 FROM lane WHERE abandoned > 0))"""
LOOKERS = ("courier", "reconciler", "submitter", "janitor")
"""In the order of what they look for, above."""
BOOKKEEPER, BOOKS_S = "bookkeeper", 60.0
"""It keeps what was counted, a minute late at most: with every second it would be most of what happens."""


class Down(Exception):
    """Nobody listens there, or whoever did has died."""


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


@dataclass(slots=True)
class Bell:
    loop: Loop
    interval_s: float
    gap_s: float = 0.0
    rung_s: float = -NEVER_S
    due: int | None = None

    def rings_at(self, due: int | None, due_s: float, grid_s: float) -> float | None:
        if due is None:
            return None
        if due != self.due:
            self.due, self.gap_s = due, self.interval_s
        at = max(due_s, self.rung_s + self.gap_s)
        return at if grid_s < 1 else math.ceil(at / grid_s) * grid_s

    def ring(self, now_s: float) -> None:
        self.rung_s, self.gap_s = now_s, min(self.gap_s * 2, STUCK_LIMIT_S)
        self.loop.bell.set()


@dataclass(slots=True)
class Process:
    number: int
    loop: VirtualLoop
    clock: Callable[[], int]
    store: Store
    parts: Parts
    loops: Loops | None = None
    doors: Any = None
    """The ASGI application."""
    grid_s: float = 0.0
    """A process that is slow to look: at multiples of this, so that much is found at once."""
    alive: bool = True
    talking: dict[asyncio.Future[Any], None] = field(default_factory=dict)
    bells: dict[str, Bell] = field(default_factory=dict)
    _seen_changes: int = -1
    _due: dict[str, int | None] = field(default_factory=dict)
    _booked: int = 0

    def run(self, coro: Coroutine[Any, Any, Answer]) -> "asyncio.Future[Answer]":
        """Runs inside this process; whoever waits for the answer stands outside and is told when it dies."""
        answer: asyncio.Future[Answer] = self.loop.create_future()
        if not self.alive:
            coro.close()
            answer.set_exception(Down())
            return answer
        self.talking[answer] = None
        task = self.loop.create_task(coro, context=in_process(self.number))
        task.add_done_callback(lambda done: self._answered(done, answer), context=in_process(0))
        return answer

    def _answered(self, task: "asyncio.Task[Any]", answer: "asyncio.Future[Any]") -> None:
        self.talking.pop(answer, None)
        if answer.done():
            return
        if task.cancelled():
            answer.set_exception(Down())
        elif (error := task.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())

    async def start(self) -> None:
        await self.store.start()
        await prepare(self.parts)
        self.loops = Loops(self.parts)
        for each in self.loops.loops:
            self.bells[each.name] = Bell(each, max(each.interval_s, BOOKS_S) if each.name == BOOKKEEPER else each.interval_s)
            each.interval_s = NEVER_S
        self.loops.start()

    async def stop(self) -> None:
        assert self.loops is not None
        await self.loops.stop()
        await self.store.stop()

    def die(self) -> None:
        self.alive = False
        self.store.dead()
        self.loop.kill(self.number)
        for answer in self.talking:
            if not answer.done():
                answer.set_exception(Down())
        self.talking.clear()

    # --- the alarm ---

    def ring_what_is_due(self) -> float | None:
        """Rings what may be rung now; the time of the next one."""
        if not self.alive or not self.bells:
            return None
        changes = self.store.raw.total_changes
        if changes != self._seen_changes:
            self._seen_changes = changes
            self._due = dict(zip(LOOKERS, self.store.raw.execute(_DUE).fetchone(), strict=True))
        now_s, now = self.loop.time(), self.clock()
        counted = self.parts.metrics.ledger.totals.total()
        upcoming: float | None = None
        for name, bell in self.bells.items():
            due = (now if counted != self._booked else None) if name == BOOKKEEPER else self._due[name]
            at = bell.rings_at(due, now_s + ((due or 0) - now) / 1000, self.grid_s)
            if at is None:
                continue
            if at <= now_s:
                if name == BOOKKEEPER:
                    self._booked = counted
                bell.ring(now_s)
                return now_s
            upcoming = at if upcoming is None else min(upcoming, at)
        return upcoming

    # --- HTTP in ---

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """As a server would call the application: the status and the body of the answer."""
        target = urlsplit(path)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": target.path,
            "raw_path": target.path.encode(),
            "query_string": target.query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
            + [(b"content-length", str(len(body)).encode())],
            "server": ("callsheet.test", 443),
            "client": ("127.0.0.1", 1),
        }
        given = [{"type": "http.request", "body": body, "more_body": False}]
        told: dict[str, Any] = {"status": 0, "body": b""}

        async def receive() -> Any:
            if given:
                return given.pop()
            return await self.loop.create_future()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
            else:
                told["body"] += message.get("body", b"")

        await self.run(self.doors(scope, receive, send))
        return told["status"], told["body"]


def begin(
    number: int,
    seed: int,
    loop: VirtualLoop,
    clock: Callable[[], int],
    transport: httpx.AsyncBaseTransport,
    desks: list[Desk],
    disk: Disk,
    keep: Keep,
    old: Store | None,
    grid_s: float,
) -> Process:
    dice = random.Random(f"process {number} of {seed}")
    store = Store(Ids(clock, dice.random), clock, disk, old)
    parts = Parts(
        db=store,
        clock=clock,
        random=dice.random,
        transport=transport,
        tokens=CallbackTokens(SIGNING, clock),
        seal=SEALS,
        accounts=Accounts(desks),
        catalog=CATALOG,
        channels=CHANNELS,
        public_url="https://callsheet.test",
        keep=keep,
        steady_s=loop.time,
    )
    process = Process(number, loop, clock, store, parts, grid_s=grid_s)

    async def ready() -> dict[str, str]:
        return {}

    process.doors = site(parts, Guard(parts, ADMIN), ready)
    return process


def unsent() -> str | None:
    """Why nothing may leave now."""
    return inside_transaction()
