"""A whole Callsheet in one process with a clock of its own: the real flow on a real database; only the wire is played.

The verbs are what happens to such a service: orders come, providers call back, or not, time passes, subscribers listen.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self

import httpx
import orjson
from sqlalchemy import Connection, text

from service.accounts import Accounts, Desk
from service.app import prepare
from service.channels.registry import CHANNELS
from service.domain import ids
from service.domain.admission import Caps
from service.domain.catalog import Catalog
from service.domain.ids import Ids
from service.domain.order import Order
from service.domain.report import SubmitOutcome
from service.domain.task import Task
from service.domain.timekeeping import Agreed
from service.flow import deliver, place, reconcile, submit, subscribe
from service.parts import Parts
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from service.signing import CallbackTokens, Seal
from service.store import outbox, tasks
from service.store.database import Database
from service.store.postgres import Postgres
from service.store.sqlite import SQLite
from service.web.guard import Guard
from service.web.site import site

START_MS = 1_795_000_000_000
ADMIN = "csa_the-operators-own-key"
SIGNING = ["a-signing-key-of-thirty-two-chars"]
ENCRYPTION = ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]
PRO = "seedance-1-0-pro-250528"
ARK = "http://ark.test/api/v3"
HOOK = "https://hook.test/"


@dataclass(frozen=True, slots=True)
class Engine:
    url: str

    def open(self, clock: Callable[[], int], seed: int) -> Database:
        names = Ids(clock, random.Random(seed).random)
        if self.url.startswith("sqlite"):
            return SQLite(self.url.removeprefix("sqlite:///"), names, clock)
        return Postgres(self.url, names, clock)


@dataclass(slots=True)
class Job:
    """What the provider knows of one order."""

    id: str
    body: dict[str, Any]
    status: str = "queued"
    extra: dict[str, Any] = field(default_factory=dict)
    created_s: int = 1
    host: str = "ark.test"

    @property
    def callback_url(self) -> str:
        url: str = self.body["callback_url"]
        return url

    def as_ark(self, status: str | None = None, **changes: Any) -> dict[str, Any]:
        word = status or self.status
        out: dict[str, Any] = {"id": self.id, "model": self.body["model"], "status": word}
        out |= {"created_at": self.created_s, "updated_at": self.created_s + 1}
        if "safety_identifier" in self.body:
            out["safety_identifier"] = self.body["safety_identifier"]
        if word == "succeeded":
            out |= {"content": {"video_url": f"https://videos.test/{self.id}.mp4"}, "usage": {"completion_tokens": 49_005}}
        if word == "failed":
            out |= {"error": {"code": "OutputVideoSensitiveContentDetected", "message": "no"}}
        return out | self.extra | changes


@dataclass(frozen=True, slots=True)
class Said:
    """One notice as a subscriber got it."""

    host: str
    id: str
    type: str
    headers: httpx.Headers
    body: bytes
    at: int
    answer: "Answer"
    """What it answered, or what it did instead."""

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(self.body)["data"]
        return data


Answer = httpx.Response | Exception


class World:
    def __init__(self, engine: Engine, seed: int = 7, desks: Sequence[Desk] = (), **account: Any) -> None:
        """`desks`: other accounts than the one at ark.test; each host of its own speaks Ark."""
        self.engine, self.now, self.seed = engine, START_MS, seed
        self.jumped_ms = 0
        """How far our clock was set by somebody: providers have their own."""
        self.random = random.Random(seed)
        self.jobs: dict[str, Job] = {}
        self.on_create: list[Answer | str] = []
        """What the provider does with the next creates: an answer, an error, or "accept and time out"."""
        self.on_query: list[Answer] = []
        self.asked: list[str] = []
        """Remote ids it was asked about, one by one."""
        self.listed: list[httpx.QueryParams] = []
        """Questions to its list."""
        self.erased: list[str] = []
        """Remote ids that a DELETE named."""
        self.down: set[str] = set()
        """Hosts that refuse every connection."""
        self.hosts: dict[str, Callable[[httpx.Request], httpx.Response]] = {}
        """Providers that a test plays itself."""
        self.creates = 0
        self.said: list[Said] = []
        self.on_notice: dict[str, list[Answer]] = defaultdict(list)
        """By host of the subscriber: what it answers next; then 204."""
        self.signing, self.encryption = list(SIGNING), list(ENCRYPTION)
        """Keys of the process; others from its next start on."""
        self.account = Account("ark", "default", ARK, "a-provider-key-nobody-may-see", **account)
        self.desks = list(desks) or [Desk(self.account, GATEWAYS["ark"], caps=Caps())]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        self.db = self.engine.open(lambda: self.now, self.random.randrange(1 << 30))
        await self.db.start()
        clock = lambda: self.now  # noqa: E731 (the world's own)
        self.parts = Parts(
            db=self.db,
            clock=clock,
            random=self.random.random,
            transport=httpx.MockTransport(self._wire),
            tokens=CallbackTokens(self.signing, clock),
            seal=Seal(self.encryption),
            accounts=Accounts(self.desks),
            catalog=Catalog.default(),
            channels=CHANNELS,
            public_url="https://callsheet.test",
            steady_s=lambda: (self.now - self.jumped_ms) / 1000,
        )
        if not self.jumped_ms:  # providers were heard already
            self.parts.accounts.agreed.update((d.key, Agreed(self.now, self.now)) for d in self.desks)
        self.parts.courier.open = self.parts.submitter.open = True
        self.addressees = deliver.Addressees()
        await prepare(self.parts)
        self.site = site(self.parts, Guard(self.parts, ADMIN), self._ready)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.site), base_url="https://callsheet.test")
        self.key = ADMIN

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.db.stop()

    async def crash(self) -> None:
        """The process dies and starts again: whatever was only in memory is gone."""
        await self.http.aclose()
        await self.db.stop()
        await self.start()

    async def _ready(self) -> dict[str, str]:
        return {}

    # --- the wire ---

    async def _wire(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in self.down:
            raise httpx.ConnectError("refused")
        if (played := self.hosts.get(request.url.host)) is not None:
            return played(request)
        if any(request.url.host in desk.account.base_url for desk in self.desks):
            answered = self._provider(request)
            answered.headers.setdefault("date", formatdate((self.now - self.jumped_ms) / 1000, usegmt=True))
            return answered
        answer: Answer = self._next(self.on_notice[request.url.host], httpx.Response(204))
        if isinstance(answer, httpx.ConnectError):
            raise answer
        headers = request.headers
        body = request.content
        kind = orjson.loads(body).get("type", "")
        self.said.append(Said(request.url.host, headers.get("webhook-id", ""), kind, headers, body, self.now, answer))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _provider(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.creates += 1
            answer = self._next(self.on_create, "accept")
            if isinstance(answer, httpx.Response):
                return answer
            if isinstance(answer, Exception):
                raise answer
            job = Job(f"cgt-{len(self.jobs) + 1}", orjson.loads(request.content), created_s=(self.now - self.jumped_ms) // 1000)
            job.host = request.url.host
            self.jobs[job.id] = job
            if answer == "accept and time out":
                raise httpx.ReadTimeout("nothing came back", request=request)
            return httpx.Response(200, json={"id": job.id})
        remote_id = request.url.path.rsplit("/", 1)[-1]
        if request.method == "DELETE":
            return self._erase(remote_id)
        if remote_id == "tasks":
            self.listed.append(request.url.params)
        else:
            self.asked.append(remote_id)
        said: Answer = self._next(self.on_query, httpx.Response(200))
        if isinstance(said, Exception):
            raise said
        if said.status_code != 200:
            return said
        if remote_id == "tasks":
            return self._list(request)
        known = self.jobs.get(remote_id)
        if known is None:
            return httpx.Response(404, json={"error": {"code": "ResourceNotFound", "message": "unknown"}})
        return httpx.Response(200, json=known.as_ark())

    def _list(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        named, model = set(query.get_list("filter.task_ids")), query.get("filter.model")
        flex = query.get("filter.service_tier") == "flex"
        found = [
            job.as_ark()
            for job in reversed(self.jobs.values())
            if job.host == request.url.host
            and (not named or job.id in named)
            and (model is None or job.body["model"] == model)
            and (job.body.get("service_tier") == "flex") == flex
        ]
        size, page = int(query["page_size"]), int(query["page_num"])
        return httpx.Response(200, json={"total": len(found), "items": found[(page - 1) * size : page * size]})

    def _erase(self, remote_id: str) -> httpx.Response:
        """Ark's DELETE: cancels what is queued, refuses what runs, and forgets what has ended."""
        self.erased.append(remote_id)
        job = self.jobs.get(remote_id)
        if job is None:
            return httpx.Response(404, json={"error": {"code": "ResourceNotFound", "message": "unknown"}})
        if job.status == "running":
            error = {"code": "InvalidAction.RunningTaskDeletion", "message": "it is running"}
            return httpx.Response(409, json={"error": error})
        if job.status == "queued":
            job.status = "cancelled"
        else:
            del self.jobs[remote_id]
        return httpx.Response(200, json={})

    @staticmethod
    def _next(answers: list[Any], otherwise: Any) -> Any:
        return answers.pop(0) if answers else otherwise

    # --- verbs ---

    async def order(self, prompt: str = "a cat", key: str | None = None, app: str = "default", **fields: Any) -> submit.Placed:
        """Committed, not sent yet."""
        return await submit.place_order(self.parts, app, Order.of({"model": PRO, "prompt": prompt, **fields}), key)

    async def send(self) -> list[SubmitOutcome | Any]:
        """Whatever waits to be placed is sent, once."""
        work = self.parts.submitter.take(10_000)
        work += await place.place_waiting(self.parts, 100)
        return [await place.send(self.parts, placement) for placement in work]

    async def send_together(self) -> None:
        """The same with all of them on their way at once."""
        work = self.parts.submitter.take(10_000)
        work += await place.place_waiting(self.parts, 1_000)
        await asyncio.gather(*(place.send(self.parts, placement) for placement in work))

    async def submit(self, prompt: str = "a cat", **fields: Any) -> Task:
        placed = await self.order(prompt, **fields)
        await self.send()
        return await self.task(placed.task.id)

    async def task(self, task_id: int) -> Task:
        found = (await self.db.read(lambda sql: tasks.by_ids(sql, [task_id]))).get(task_id)
        assert found is not None
        return found

    def job(self, task: Task) -> Job:
        assert task.remote_id is not None
        return self.jobs[task.remote_id]

    async def callback(self, status: str, job: Job | None = None, **changes: Any) -> int:
        """The provider calls back about its last job, or the one named. The status of the answer."""
        job = job or list(self.jobs.values())[-1]
        job.status = status
        return await self.post_callback(job.callback_url, orjson.dumps(job.as_ark(status, **changes)))

    async def post_callback(self, url: str, body: bytes) -> int:
        return (await self.http.post(url, content=body)).status_code

    def silence(self, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        self.now += int((seconds + 60 * minutes + 3600 * hours) * 1000)

    def clock_jumps(self, hours: float) -> None:
        """Somebody sets our clock; no time passes."""
        self.now += int(hours * 3_600_000)
        self.jumped_ms += int(hours * 3_600_000)

    async def reconcile(self) -> int:
        return await reconcile.reconcile(self.parts)

    async def deliver(self) -> int:
        """Rounds until nothing is due now."""
        count = 0
        while made := await deliver.deliver_due(self.parts, self.addressees):
            count += made
        return count

    async def subscribe(self, url: str = HOOK, channel: str = "webhook", app: str = "default", **fields: Any) -> Any:
        """The row with its secret."""
        row, secret = await subscribe.create(self.parts, app, channel=channel, url=url, **fields)
        return Subscribed(row.id, ids.encode(ids.SUBSCRIPTION, row.id), secret or "")

    def heard(self, host: str = "hook.test") -> list[str]:
        """Types of notices, in the order of what happened: deliveries promise none."""
        return [said.type for said in sorted(self.said, key=lambda said: said.id) if said.host == host]

    async def api(self, method: str, path: str, json: Any = None, key: str | None = None, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {key or self.key}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.request(method, path, json=json, headers=given)

    # --- what the database holds ---

    async def rows(self, sql_text: str, **values: Any) -> Sequence[Any]:
        def look(sql: Connection) -> Sequence[Any]:
            return sql.execute(text(sql_text), values).all()

        return await self.db.read(look)

    async def deliveries(self) -> Sequence[Any]:
        return await self.db.read(lambda sql: outbox.page(sql, "default", before_id=None, limit=10_000))


@dataclass(frozen=True, slots=True)
class Subscribed:
    id: int
    name: str
    secret: str
