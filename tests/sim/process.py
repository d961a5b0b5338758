"""One life of the service: its real parts on the database that the last life left, from start to stop or kill."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from service.accounts import Accounts, Desk
from service.app import prepare
from service.channels.registry import CHANNELS
from service.domain.catalog import Catalog
from service.domain.ids import Ids
from service.domain.keep import Keep
from service.loops import Loops
from service.parts import Parts
from service.signing import CallbackTokens, Seal
from service.store.database import inside_transaction
from service.web.guard import Guard
from service.web.site import site
from tests.sim.alarm import Alarm
from tests.sim.disk import Disk, Store
from tests.sim.loop import VirtualLoop, in_process
from tests.world import ADMIN, ENCRYPTION, SIGNING

Answer = TypeVar("Answer")
SEALS = Seal(ENCRYPTION)
CATALOG = Catalog.default()


class Down(Exception):
    """Nobody listens there, or whoever did has died."""


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
    listening: bool = False
    """The application has no doors before it is prepared."""
    talking: dict[asyncio.Future[Any], None] = field(default_factory=dict)
    alarm: Alarm | None = None

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
        self.listening = True
        self.loops = Loops(self.parts)
        self.alarm = Alarm(self.loops.loops, self.loop, self.parts, self.store.raw, self.grid_s)
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

    # --- HTTP in ---

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """As a server would call the application: the status and the body of the answer."""
        if not self.listening:
            raise Down
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
