"""One world from its first order to rest: callers, providers, subscribers and faults around the real service.

The story says what will happen; everything else (latencies, jitter) comes from dice of the same seed. What was acknowledged
and what was heard is the history, and the history is what the checker holds against the database.
"""

import asyncio
import hashlib
import hmac
import logging
import random
import sqlite3
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
import orjson

from service.accounts import MARK_ORDERS, Desk
from service.domain import ids
from service.domain.admission import Caps
from service.domain.errors import Unavailable
from service.domain.keep import Keep, before
from service.domain.report import Report
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from service.store.tables import metadata
from tests.sim import provider as wire
from tests.sim.loop import VirtualLoop, in_process
from tests.sim.process import Disk, Down, Process, begin, unsent
from tests.sim.provider import Job, Provider
from tests.sim.story import PROVIDERS, Fault, OrderPlan, Story
from tests.world import ADMIN, PRO, START_MS

START_S = START_MS / 1000
REST_LIMIT_S = 60 * 86_400.0
"""Whatever was ordered has come to rest by then, or never will."""
TRIES_S = (10.0, 60.0)
"""Between a provider's tries to call back about an ending."""
JUMPS_MS = {"clock back 1 h": -3_600_000, "clock on 1 h": 3_600_000, "clock on 80 h": 80 * 3_600_000}
HOSTS = {"hook-all.test": "all", "hook-endings.test": "endings", "hook-other.test": "other", "hooks.slack.com": "slack"}
SLACK = "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX"


@dataclass(frozen=True, slots=True)
class Acked:
    """A callback that was answered with 2xx."""

    submission_id: int
    state: str | None
    """What it said, when it could be read and was about this very job."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice as it came to a subscriber."""

    delivery_id: int
    subscriber: str
    status: int
    """What it answered; 0: nothing."""
    signed: bool
    true: bool
    """Its delivery and its event were committed, with this very body."""


@dataclass(slots=True)
class History:
    tasks: dict[int, int] = field(default_factory=dict)
    """Order to task, once acknowledged."""
    acked: list[Acked] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)
    """Orders whose cancel was acknowledged."""
    placed: Counter[int] = field(default_factory=Counter)
    """Jobs that providers accepted, by order."""
    resolved: set[int] = field(default_factory=set)
    bugs: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Faults that really struck."""
    digest: Any = field(default_factory=hashlib.sha256)
    told: list[str] | None = None

    def note(self, now_s: float, what: str, *more: Any) -> None:
        line = f"{now_s:.3f} {what} {' '.join(map(str, more))}"
        self.digest.update(line.encode())
        if self.told is not None:
            self.told.append(line)


class _Errors(logging.Handler):
    """Whatever the service logs as an error is a bug here, unless it says that the database was away."""

    def __init__(self, bugs: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._bugs = bugs

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Unavailable | Down) and record.msg != "submission.outcome_not_stored":
            self._bugs.append(f"{record.msg}: {type(error).__name__}: {error}")


class Wire(httpx.AsyncBaseTransport):
    """The network as one process sees it."""

    def __init__(self, world: "World", number: int) -> None:
        self._world, self._number = world, number

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert unsent() is None, unsent()
        answer: asyncio.Future[wire.Reply] = self._world.loop.create_future()
        self._world.carry(request, answer)
        status, headers, body = await answer
        if request.url.host in self._world.providers:
            headers = headers | {"date": formatdate(START_S + self._world.now_s, usegmt=True)}
        return httpx.Response(status, headers=headers, content=body)


def _template() -> sqlite3.Connection:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

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
        return self.process.ring_what_is_due() if self.process is not None else None

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
                Wire(self, self.number),
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

    async def order(self, plan: OrderPlan) -> None:
        await asyncio.sleep(max(0.0, self.at_grain(plan.at) - self.now_s))
        body: dict[str, Any] = {"model": PRO, "prompt": f"order {plan.number}", "metadata": {"n": str(plan.number)}}
        if plan.provider is not None:
            body["provider"] = plan.provider
        if plan.own_url:
            body["callback_url"] = f"https://own.test/{plan.number}"
        if plan.flex:
            body["service_tier"] = "flex"
        key = {"idempotency-key": f"key-{plan.number}"}
        status, task = await self.api("POST", "/v1/tasks", body, plan.app, **key)
        assert status == 201, f"an order was answered {status}: {task}"
        task_id = ids.decode(ids.TASK, task["id"])
        assert task_id is not None
        self.history.tasks[plan.number] = task_id
        for trouble in self.troubles.get(plan.number, ()):
            if trouble.kind == "order repeated":
                await asyncio.sleep(trouble.size)
                status, again = await self.api("POST", "/v1/tasks", body, plan.app, **key)
                self.history.counts["order repeated"] += 1
                if status == 201 and again["id"] != task["id"]:
                    self.history.bugs.append(f"one key made two tasks of order {plan.number}")
            if trouble.kind == "order cancelled":
                await asyncio.sleep(trouble.size)
                status, _ = await self.api("POST", f"/v1/tasks/{task['id']}/cancel", None, plan.app)
                self.history.counts[f"order cancelled: {status}"] += 1
                self.history.counts["order cancelled"] += 1
                if status == 200:
                    self.history.cancelled.add(plan.number)

    # --- HTTP out ---

    def mode(self, host: str) -> str:
        kind, until_s = self.modes.get(host, ("", 0.0))
        if self.now_s >= until_s:
            return ""
        self.history.counts[kind] += 1
        return kind

    def carry(self, request: httpx.Request, answer: "asyncio.Future[wire.Reply]") -> None:
        host = request.url.host
        kind = self.mode(host)
        trouble = self._submit_trouble(request) if host in self.providers and request.method == "POST" else None
        if kind.endswith("refuses") or (trouble is not None and trouble.kind == "submit refused"):
            self.later(self.latency(), self._break, answer, httpx.ConnectError("refused"))
        elif kind.endswith("hangs"):
            return
        elif host in self.providers:
            self.later(self.latency(), self._at_provider, request, answer, kind, trouble)
        else:
            self.later(self.latency(), self._at_subscriber, request, answer, kind)

    def _break(self, answer: "asyncio.Future[wire.Reply]", error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)

    def _answer(self, answer: "asyncio.Future[wire.Reply]", reply: wire.Reply) -> None:
        if not answer.done():
            answer.set_result(reply)

    def _submit_trouble(self, request: httpx.Request) -> Fault | None:
        number = _order_of(orjson.loads(request.content))
        for trouble in self.troubles.get(number, ()):
            if trouble.kind.startswith("submit"):
                self.troubles[number].remove(trouble)
                self.history.counts[trouble.kind] += 1
                return trouble
        return None

    # --- providers ---

    def _at_provider(
        self, request: httpx.Request, answer: "asyncio.Future[wire.Reply]", kind: str, trouble: Fault | None
    ) -> None:
        played = self.providers[request.url.host]
        broken = _BROKEN.get(kind)
        if broken is not None:
            reply = broken
        elif request.method != "POST":
            reply = played.answer(START_S + self.now_s, request.method, request.url.path, request.url.query.decode())
        else:
            kind = "" if trouble is None else trouble.kind
            made = _REFUSALS.get(kind)
            if made is None:
                reply = self._accept(played, orjson.loads(request.content))
                if kind == "submit times out after accept":
                    return
                if kind == "submit resets after accept":
                    self.later(self.latency(), self._break, answer, httpx.ReadError("reset"))
                    return
                if kind == "submit 500 after accept":
                    reply = _BROKEN["provider 500"]
            else:
                reply = made
        self.later(self.latency(), self._answer, answer, reply)

    def _accept(self, played: Provider, body: dict[str, Any]) -> wire.Reply:
        number = _order_of(body)
        plan = self.plans[number]
        job = played.accept(START_S + self.now_s, body, number, plan.queue_s, plan.run_s, plan.ending)
        self.history.placed[number] += 1
        self.history.note(self.now_s, "accepted", job.id, number)
        for trouble in self.troubles.get(number, ()):
            if trouble.kind == "job forgotten":
                self.later(trouble.size, self._forget, job)
        if "callback_url" in body:
            for status, at_s in (("queued", 0.0), ("running", job.running_s), ("ended", job.ended_s)):
                if status != "queued" or number % 3 == 0:
                    self.start(self._tell(job, status, max(0.0, at_s - START_S - self.now_s)))
        return wire.reply(200, {"id": job.id})

    def _forget(self, job: Job) -> None:
        job.forgotten = True
        self.history.counts["job forgotten"] += 1

    async def _tell(self, job: Job, step: str, pause_s: float) -> None:
        """One change of a job's status, called back as the faults of its order have it."""
        await asyncio.sleep(max(0.0, self.at_grain(self.now_s + pause_s) - self.now_s))
        status = job.status(START_S + self.now_s) if step == "ended" else step
        if (step == "running") and job.ending == "cancelled":
            return
        bodies = [job.shown(status, START_S + self.now_s)]
        raw: bytes | None = None
        for trouble in self.troubles.get(job.order, ()):
            mine = (step == "ended") is (int(trouble.size) % 2 == 0)
            match trouble.kind:
                case "callback dropped" if mine or trouble.size > 20:
                    self.history.counts[trouble.kind] += 1
                    return
                case "callback duplicated" if mine:
                    bodies *= 2 + int(trouble.size) % 4
                case "callback delayed" if mine:
                    await asyncio.sleep(trouble.size * 10)
                case "callback reordered" if step != "ended":
                    await asyncio.sleep(max(0.0, job.ended_s - START_S - self.now_s) + trouble.size)
                case "callback garbled" if mine:
                    raw = orjson.dumps(bodies[0])[: int(trouble.size * 3) % 60] + b"\xff{"
                case "callback of an unknown word" if step == "running":
                    bodies = [bodies[0] | {"status": "dreaming"}, *bodies]
                case "callback of a second ending" if step == "ended":
                    bodies.append(job.shown("failed" if status == "succeeded" else "expired", START_S + self.now_s))
                case "callback of another id" if mine:
                    bodies.append(bodies[0] | {"id": f"{job.id}-other"})
                case _:
                    continue
            self.history.counts[trouble.kind] += 1
        for body in bodies:
            self.start(self._call(job, orjson.dumps(body) if raw is None else raw, ending=step == "ended"))

    async def _call(self, job: Job, body: bytes, ending: bool) -> None:
        path = job.body["callback_url"].removeprefix("https://callsheet.test")
        _, _, provider, token = path.split("/")
        await asyncio.sleep(self.latency())
        for pause_s in (*(TRIES_S if ending else ()), None):
            status = 0
            try:
                async with asyncio.timeout(5):
                    assert self.process is not None
                    status, _ = await self.process.request("POST", path, body)
            except (Down, TimeoutError):
                pass
            self.history.note(self.now_s, "callback", job.id, status, len(body))
            self.history.counts[f"callback answered {status}"] += 1
            if 200 <= status < 300:
                said = GATEWAYS[provider].read_callback(body)
                own = isinstance(said, Report) and said.remote_id == job.id and said.state is not None
                state = str(said.state) if own else None  # type: ignore[union-attr]
                self.history.acked.append(Acked(int(token.partition(".")[0], 16), state))
                return
            if pause_s is None:
                return
            await asyncio.sleep(pause_s)

    # --- subscribers ---

    def _at_subscriber(self, request: httpx.Request, answer: "asyncio.Future[wire.Reply]", kind: str) -> None:
        host = request.url.host
        status = _ANSWERS.get(kind, 204)
        name = HOSTS.get(host) or f"own {self.plans[int(request.url.path[1:])].app}"
        told = host != "hooks.slack.com"
        if told:
            self._hear(name, request, status)
        else:
            self.history.note(self.now_s, "slack", len(request.content), status)
        self.history.counts[f"told {name}: {status}"] += 1
        if kind == "subscriber resets after taking it":
            self.later(self.latency(), self._break, answer, httpx.ReadError("reset"))
            return
        headers = {"retry-after": "7"} if status == 429 else {}
        self.later(self.latency(), self._answer, answer, (status, headers, b""))

    def _hear(self, name: str, request: httpx.Request, status: int) -> None:
        headers = request.headers
        notice = headers["webhook-id"]
        delivery_id = ids.decode(ids.DELIVERY, notice) or 0
        content = b"%b.%b.%b" % (notice.encode(), headers["webhook-timestamp"].encode(), request.content)
        mac = hmac.new(b64decode(self.secrets[name].removeprefix("whsec_")), content, "sha256").digest()
        signed = f"v1,{b64encode(mac).decode()}" in headers["webhook-signature"].split(" ")
        assert self.process is not None
        found = self.process.store.raw.execute(
            "SELECT event.body FROM delivery JOIN event ON event.id = delivery.event_id WHERE delivery.id = ?", (delivery_id,)
        ).fetchone()
        if found is None:  # it was in a courier's hand while the janitor took its row
            true = delivery_id < ids.first_id_at(before(self.clock(), self.story.keep_days))
        else:
            true = bytes(found[0]) == request.content
        self.history.heard.append(Heard(delivery_id, name, status, signed, true))
        self.history.note(self.now_s, "told", name, notice, status, hashlib.sha256(request.content).hexdigest())

    # --- faults of the world ---

    async def strike(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        self.history.note(self.now_s, "fault", fault.kind, fault.who)
        match fault.kind:
            case "killed":
                self.kill_at_step = self.loop.steps + 1 + int(fault.size)
            case "stopped":
                await self._stop()
            case "commit fails":
                self.disk.fail, self.disk.after_steps = 1 + int(fault.size) % 4, 1 + int(fault.size * 37) % 700
            case "commit's answer lost":
                self.disk.forget = 1 + int(fault.size) % 3
            case "disk full":
                await self._fill(fault.size * 5)
            case kind if kind in JUMPS_MS:
                self.jump_ms += JUMPS_MS[kind]
                self.history.counts[kind] += 1
            case kind if kind.startswith("provider"):
                self.modes[f"{fault.who}.test"] = (kind, self.now_s + fault.size)
            case kind if kind.startswith("subscriber"):
                host = next(host for host, name in HOSTS.items() if name == fault.who)
                self.modes[host] = (kind, self.now_s + fault.size)
            case kind:
                await self._by_api(kind, str(fault.who), fault.size)

    async def _stop(self) -> None:
        process = self.process
        if process is None or not process.alive or process.loops is None:
            return
        self.history.counts["stopped"] += 1
        try:
            await process.run(process.stop())
        except Down:
            return  # killed while it stopped
        process.die()
        await self.rise(self.dice.choice((0.1, 5.0)))

    async def _fill(self, pause_s: float) -> None:
        assert self.process is not None
        raw = self.process.store.raw
        [pages] = raw.execute("PRAGMA page_count").fetchone()
        raw.execute(f"PRAGMA max_page_count={pages}")
        await asyncio.sleep(pause_s)
        raw.execute("PRAGMA max_page_count=1000000")

    async def _by_api(self, kind: str, name: str, pause_s: float) -> None:
        app = "other" if name == "other" else "default"
        path = f"/v1/subscriptions/{self.subscriptions[name]}"
        self.history.counts[kind] += 1
        match kind:
            case "subscription paused":
                await self.api("POST", f"{path}/pause", None, app)
                await asyncio.sleep(pause_s)
                await self.api("POST", f"{path}/resume", None, app)
            case "subscription recovered":
                await self.api("POST", f"{path}/resume", None, app)
                since = "2026-11-01T00:00:00Z"
                await self.api("POST", f"{path}/recover", {"since": since}, app)
            case "delivery resent":
                _, page = await self.api("GET", f"/v1/deliveries?limit=3&subscription={self.subscriptions[name]}", None, app)
                for each in page["data"]:
                    await self.api("POST", f"/v1/deliveries/{each['id']}/resend", None, app)

    # --- the whole life ---

    def live(self, check: "Callable[[World], None] | None" = None) -> History:
        """From the first order to rest; then the checker looks, before the last process stops."""
        service = logging.getLogger("callsheet")
        errors = _Errors(self.history.bugs)
        was = service.level, service.propagate
        service.setLevel(logging.ERROR)
        service.propagate = False
        service.addHandler(errors)
        try:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(self._live())
            if check is not None:
                check(self)
            if self.process is not None and self.process.alive:
                self.kill_at_step = None  # a kill that was still to come would strike nobody's work
                self.loop.run_until_complete(self.process.run(self.process.stop()))
                self.process.die()
        finally:
            service.removeHandler(errors)
            service.level, service.propagate = was
            asyncio.set_event_loop(None)
            self.loop.close()
            if self.process is not None:
                self.process.store.engine.dispose()
        return self.history

    async def _live(self) -> None:
        await self.rise()
        await self._furnish()
        for order in self.story.orders:
            self.start(self.order(order))
        for fault in self.story.faults:
            if not isinstance(fault.who, int):
                self.start(self.strike(fault))
        pause_s = 30.0
        while not self.at_rest():
            if self.now_s > REST_LIMIT_S:
                self.history.bugs.append("it never comes to rest")
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 3_600.0)

    async def _furnish(self) -> None:
        """Two apps, and who wants to know."""
        await self.api("POST", "/v1/apps", {"id": "other"})
        wishes: list[tuple[str, str, dict[str, Any]]] = [
            ("all", "default", {"channel": "webhook", "target": "https://hook-all.test/", "events": ["*"]}),
            (
                "endings",
                "default",
                {
                    "channel": "webhook",
                    "target": "https://hook-endings.test/",
                    "events": ["task.succeeded", "task.failed"],
                    "rate": 5,
                    "filter": {"provider": ["ark", "byteplus"]},
                },
            ),
            ("other", "other", {"channel": "webhook", "target": "https://hook-other.test/", "concurrency": 1}),
            ("slack", "default", {"channel": "slack", "target": SLACK}),
        ]
        for name, app, wish in wishes:
            if name not in self.story.subscribers:
                continue
            _, made = await self.api("POST", "/v1/subscriptions", wish, app)
            self.subscriptions[name] = made["id"]
            self.secrets[name] = made.get("secret", "")
        assert self.process is not None
        for app, sealed in self.process.store.raw.execute("SELECT id, sealed FROM app"):
            self.secrets[f"own {app}"] = self.process.parts.seal.open(sealed).decode()

    def at_rest(self) -> bool:
        if self.coming or self.process is None or not self.process.alive:
            return False
        found = self.process.store.raw.execute(
            "SELECT (SELECT count(*) FROM task WHERE ended_at IS NULL), (SELECT count(*) FROM delivery WHERE state = 'pending'),"
            " (SELECT count(*) FROM job WHERE state = 'running')"
        ).fetchone()
        return not any(found)


def _order_of(body: dict[str, Any]) -> int:
    return int(body["content"][0]["text"].removeprefix("order "))


_BROKEN = {
    "provider 500": wire.reply(500, {"error": {"code": "InternalServiceError", "message": "trouble"}}),
    "provider 429": wire.reply(429, {"error": {"code": "RateLimitExceeded", "message": "slow down"}}, **{"retry-after": "3"}),
    "provider 404": wire.reply(404, {"error": {"code": "ResourceNotFound", "message": "unknown"}}),
    "provider says rubbish": (200, {}, b"<html>gateway</html>"),
}
_REFUSALS = {
    "submit 500": _BROKEN["provider 500"],
    "submit 429": _BROKEN["provider 429"],
    "submit 404": wire.reply(404, {"error": {"code": "InvalidEndpointOrModel.NotFound", "message": "no such model"}}),
    "submit 400": wire.reply(400, {"error": {"code": "InvalidParameter", "message": "no"}}),
    "submit 401": wire.reply(401, {"error": {"code": "AuthenticationError", "message": "who are you"}}),
}
_ANSWERS = {"subscriber 500": 500, "subscriber 429": 429, "subscriber gone": 410}
