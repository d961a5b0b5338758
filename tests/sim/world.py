"""One world: its time, its dice, the service's lives in it, and the history of what happened.

Who lives around the service stands in rooms of their own: `callers`, `network` with `calls` and `subscribers`, `faults`.
"""

import asyncio
import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from service.accounts import MARK_ORDERS, Desk
from service.domain.admission import Caps
from service.domain.errors import Unavailable
from service.domain.keep import Keep
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from service.store.tables import metadata
from tests.sim.disk import Disk
from tests.sim.history import History
from tests.sim.loop import VirtualLoop, in_process
from tests.sim.network import Wire
from tests.sim.process import Down, Process, begin
from tests.sim.provider import Provider, Reply
from tests.sim.story import PROVIDERS, Fault, Story
from tests.world import ADMIN, START_MS


def _template() -> sqlite3.Connection:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    raw: sqlite3.Connection = engine.raw_connection().driver_connection  # type: ignore[assignment]
    return raw


TEMPLATE = _template()


class World:
    def __init__(self, story: Story, tell: bool = False) -> None:
        self.story = story
        self.loop = VirtualLoop()
        self.dice = random.Random(f"world {story.seed}")
        self.history = History(told=[] if tell else None)
        self.jump_ms = 0
        self.latest = START_MS
        """The clock never stood higher."""
        self.disk = Disk()
        self.providers = {f"{name}.test": Provider(name) for name in PROVIDERS}
        self.plans = {order.number: order for order in story.orders}
        self.troubles: dict[int, list[Fault]] = defaultdict(list)
        for fault in story.faults:
            if isinstance(fault.who, int):
                self.troubles[fault.who].append(fault)
        self.modes: dict[str, tuple[str, float]] = {}
        """What is wrong with a host, and until when."""
        self.secrets: dict[str, str] = {}
        self.subscriptions: dict[str, str] = {}
        self.process: Process | None = None
        self.number = 0
        self.coming = 0
        """Things on their way: callbacks, orders, faults."""
        self.kill_at_step: int | None = None
        self.loop.idle = self._idle
        self.loop.before_step = self._before_step
        self.loop.set_exception_handler(self._unheard)

    def _unheard(self, _: Any, context: dict[str, Any]) -> None:
        """An error that nobody waited for any more. Of the dead that is no wonder."""
        error = context.get("exception")
        if error is not None and not isinstance(error, Unavailable | Down):
            self.history.bugs.append(f"{context['message']}: {type(error).__name__}: {error}")

    # --- time ---

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def clock(self) -> int:
        now = START_MS + int(self.loop.time() * 1000 + 0.5) + self.jump_ms
        self.latest = max(self.latest, now)
        return now

    def later(self, pause_s: float, act: Callable[..., None], *args: Any) -> None:
        self.loop.call_later(max(0.0, pause_s), act, *args, context=in_process(0))

    def at_grain(self, at_s: float) -> float:
        grain_s = self.story.grain_s
        return max(self.now_s, int(at_s / grain_s + 1) * grain_s)

    def latency(self) -> float:
        return self.dice.choice((0.001, 0.02, 0.3)) if self.story.grain_s < 0.1 else 0.01

    def answer(self, waiting: "asyncio.Future[Reply]", reply: Reply | Exception) -> None:
        """After its way back."""
        self.later(self.latency(), _answered, waiting, reply)

    def start(self, what: Any) -> None:
        """A coroutine of the world's own."""
        self.coming += 1
        task = self.loop.create_task(what, context=in_process(0))
        task.add_done_callback(self._over)

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self.coming -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self.history.bugs.append(f"world: {type(error).__name__}: {error}")

    def _idle(self, upcoming: float | None) -> float | None:
        process = self.process
        return process.alarm.ring_what_is_due() if process is not None and process.alive and process.alarm is not None else None

    def _before_step(self) -> None:
        if self.kill_at_step is not None and self.loop.steps >= self.kill_at_step:
            self.kill_at_step = None
            if self.process is not None and self.process.alive:
                self.history.counts["killed"] += 1
                self.history.note(self.now_s, "killed")
                self.process.die()
                self.start(self.rise(self.dice.choice((0.1, 2.0, 30.0))))

    # --- the service's lives ---

    async def rise(self, pause_s: float = 0.0) -> None:
        await asyncio.sleep(pause_s)
        while True:
            self.number += 1
            old = self.process.store if self.process is not None else None
            self.process = begin(
                self.number,
                self.story.seed,
                self.loop,
                self.clock,
                Wire(self),
                self.desks(),
                self.disk,
                Keep(tasks=self.story.keep_days, events=self.story.keep_days, receipts=self.story.keep_days),
                old,
                self.story.grain_s,
            )
            if old is None:
                TEMPLATE.backup(self.process.store.raw)
            try:
                await self.process.run(self.process.start())
                return
            except Down:  # it was killed while it started: whoever killed it starts another
                return
            except Unavailable:
                self.process.die()
                await asyncio.sleep(5)  # its supervisor tries again

    def desks(self) -> list[Desk]:
        caps = Caps(self.story.in_flight)
        marks = {"byteplus": dict([MARK_ORDERS])}
        return [
            Desk(
                Account(
                    name, "default", f"http://{name}.test/api/v3", "a-provider-key-nobody-may-see", None, marks.get(name, {})
                ),
                GATEWAYS[name],
                caps=caps,
            )
            for name in PROVIDERS
        ]

    # --- HTTP in ---

    async def api(self, method: str, path: str, json: Any = None, app: str = "default", **headers: str) -> tuple[int, Any]:
        """Again and again until it is answered by something else than our own trouble."""
        given = {"authorization": f"Bearer {ADMIN}", "callsheet-app": app, "content-type": "application/json", **headers}
        body = b"" if json is None else orjson.dumps(json)
        while True:
            try:
                assert self.process is not None
                status, answer = await self.process.request(method, path, body, given)
            except Down:
                status, answer = 0, b""
            self.history.note(self.now_s, "api", method, path, status)
            if status not in (0, 503):
                if status >= 500:
                    self.history.bugs.append(f"{method} {path} answered {status}")
                return status, orjson.loads(answer) if answer else None
            self.history.counts["api 503" if status else "api refused"] += 1
            await asyncio.sleep(self.dice.choice((0.5, 3.0)))


def _answered(waiting: "asyncio.Future[Reply]", reply: Reply | Exception) -> None:
    if waiting.done():
        return
    if isinstance(reply, Exception):
        waiting.set_exception(reply)
        waiting.exception()  # nobody may be there any more to hear it
    else:
        waiting.set_result(reply)
