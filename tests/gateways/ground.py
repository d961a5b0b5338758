"""The real service and the simulated gateways, each on a real port; nothing between them but HTTP."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from starlette.types import ASGIApp

from service import settings
from service.accounts import Desk
from service.app import App
from service.domain.report import SubmitOutcome
from service.flow import gateway
from service.parts import Parts
from service.sandbox import BASE_URLS, SandboxSettings, alone, create_sandbox
from service.wire import Reply
from tests.gateways.subjects import SUBJECTS, Subject

WITHIN_S = 60
"""For anything that was said to happen; the usual is a second."""
QUIET_S = 0.2
"""Patience with those that have to be asked. The others are not asked at all while their callbacks come."""
ADMIN = "csa_the-operators-own-key"
GOOD, BAD, POOR, GROUPLESS = "good-key", "bad-key", "poor-key", "nogroup-key"
"""Any key opens the simulated gateways, but for these others: refused, without money, without a channel at APIYI."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Everything here is plain HTTP on loopback: loading the certificates of the world takes longer than a test."""

Seen = TypeVar("Seen")
Read = TypeVar("Read")


@dataclass
class Ground:
    http: httpx.AsyncClient = field(repr=False)
    """To the service, as its operator."""
    outside: str
    """Address of the simulated gateways."""
    parts: Parts = field(repr=False)

    async def post(self, subject: Subject, prompt: str, wait_s: int | None = WITHIN_S, **fields: Any) -> httpx.Response:
        body = {"model": subject.model, "prompt": prompt, "provider": subject.provider, **subject.fields, **fields}
        headers = {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
        return await self.http.post("/v1/tasks", json=body, headers=headers)

    async def order(self, subject: Subject, prompt: str, **fields: Any) -> dict[str, Any]:
        """The task as soon as the gateway has said something about it."""
        return _created(await self.post(subject, prompt, wait_s=None, **fields))

    async def ended(self, subject: Subject, prompt: str, **fields: Any) -> dict[str, Any]:
        """The task once it has ended, or as it stands when waiting makes no sense any more."""
        return _created(await self.post(subject, prompt, **fields))

    async def task(self, id: str) -> dict[str, Any]:
        task: dict[str, Any] = (await self.http.get(f"/v1/tasks/{id}")).json()
        return task

    async def until(self, id: str, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Looks again at every change."""
        task = await self.task(id)
        async with asyncio.timeout(WITHIN_S):
            while not enough(task):
                answer = await self.http.get(f"/v1/tasks/{id}", headers={"Prefer": "wait=5"})
                task = answer.json()
        return task

    async def timeline(self, task: Mapping[str, Any]) -> "Timeline":
        answer = (await self.http.get(f"/v1/tasks/{task['id']}/timeline")).json()
        return Timeline(answer["polls"]["asked"], answer["polls"]["next_look_at"], answer["data"])

    # --- what the gateways saw ---

    async def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = (await self.http.get(f"{self.outside}/sandbox/stats")).json()
        return stats

    async def jobs(self, subject: Subject, prompt: str) -> list[dict[str, Any]]:
        """Those of this gateway with this prompt: what was paid for."""
        jobs = (await self.http.get(f"{self.outside}/sandbox/jobs")).json()["jobs"]
        wanted = subject.provider, subject.model, prompt
        return [job for job in jobs if (job["provider"], job["model"], _plain(job["prompt"])) == wanted]

    async def fetch(self, url: str) -> httpx.Response:
        """As anybody: a video's address is its own permission."""
        request = self.http.build_request("GET", url)
        del request.headers["authorization"]
        return await self.http.send(request)

    # --- past the API: one request of one adapter over the service's own transport ---

    def desk(self, subject: Subject) -> Desk:
        desk = self.parts.accounts.get(subject.provider, subject.account)
        assert desk is not None
        return desk

    async def place(self, subject: Subject, request: httpx.Request) -> SubmitOutcome:
        return await gateway.place(self.parts, self.desk(subject), request)

    async def ask(self, subject: Subject, request: httpx.Request, read: Callable[[Reply], Read]) -> Any:
        return await gateway.ask(self.parts, self.desk(subject), request, read)


@dataclass(frozen=True)
class Timeline:
    polls: int
    next_look_at: str | None
    entries: Sequence[Mapping[str, Any]]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [entry for entry in self.entries if entry["type"] == kind]

    @property
    def events(self) -> list[str]:
        return [entry["event"] for entry in self.of("event")]

    @property
    def submissions(self) -> list[str]:
        return [entry["outcome"] for entry in self.of("submission")]

    @property
    def ended_by(self) -> str:
        source: str = self.of("transition")[-1]["source"]
        return source


def _created(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


def _plain(prompt: str) -> str:
    """Without the flags that some adapters write behind it."""
    return prompt.partition(" --")[0]


async def at_each(subjects: Sequence[Subject], see: Callable[[Subject], Awaitable[Seen]]) -> dict[str, Seen]:
    """What is seen at each gateway, all of them at once."""
    seen = await asyncio.gather(*(see(subject) for subject in subjects))
    return dict(zip((subject.label for subject in subjects), seen, strict=True))


def all_of(subjects: Sequence[Subject], value: Seen) -> dict[str, Seen]:
    return dict.fromkeys((subject.label for subject in subjects), value)


# --- opening it ---


@asynccontextmanager
async def open_ground(
    home: Path,
    database_url: str | None = None,
    key: str = GOOD,
    subjects: Sequence[Subject] = SUBJECTS,
    told: str | None = None,
    **world: Any,
) -> AsyncIterator[Ground]:
    """A service with one account for each subject; without subjects it plays its own sandbox.

    `told`: what the operator says about callbacks, where the gateway itself promises none. `world`: settings of the sandbox."""
    async with AsyncExitStack() as stack:
        door = stack.enter_context(_listener())
        inside, outside = _address(door), _address(door)
        if subjects:
            gateways = stack.enter_context(_listener())
            outside = _address(gateways)
            played = SandboxSettings(**{"queue_s": 0.05, "run_s": 0.05, "retry_after_s": 0, "seed": 7} | world)
            simulated = alone(
                create_sandbox(played, transport=httpx.AsyncHTTPTransport(verify=NO_TLS, trust_env=False, limits=_MANY))
            )
            await stack.enter_async_context(_serving(simulated, gateways, lifespan="on"))
        env = _environment(home, door, database_url or f"sqlite:///{home}/callsheet.db")
        for subject in subjects:
            if subject.called:
                env |= _in_environment(subject, outside, key)
        env["CALLSHEET_CONFIG"] = str(home / "callsheet.toml")
        (home / "callsheet.toml").write_text("".join(_in_toml(s, outside, key, told) for s in subjects if not s.called))
        app = App(settings.load(env, make_keys=False))
        service = await stack.enter_async_context(app.run())
        await stack.enter_async_context(_serving(app, door, lifespan="off"))
        client = httpx.AsyncClient(
            base_url=inside,
            headers={"Authorization": f"Bearer {ADMIN}"},
            verify=NO_TLS,
            trust_env=False,
            timeout=3 * WITHIN_S,
            limits=_MANY,
        )
        yield Ground(await stack.enter_async_context(client), outside, service.parts)


_MANY = httpx.Limits(max_connections=200, max_keepalive_connections=0)  # a kept one may be closed just as it is used


def _environment(home: Path, door: socket.socket, database_url: str) -> dict[str, str]:
    return {
        "CALLSHEET_DATABASE_URL": database_url,
        "CALLSHEET_ADMIN_KEY": ADMIN,
        "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-thirty-two-chars",
        "CALLSHEET_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "PORT": str(door.getsockname()[1]),
    }


def _in_environment(subject: Subject, outside: str, key: str) -> dict[str, str]:
    """Nothing to say but key and address."""
    prefix = f"CALLSHEET_{subject.provider.upper()}"
    return {f"{prefix}_API_KEY": key, f"{prefix}_BASE_URL": outside + BASE_URLS[subject.provider]}


def _in_toml(subject: Subject, outside: str, key: str, told: str | None) -> str:
    options = ", ".join(f'{name} = "{value}"' for name, value in subject.options.items())
    lines = [
        "[[accounts]]",
        f'provider = "{subject.provider}"',
        f'name = "{subject.account}"',
        f'api_key = "{key}"',
        f'base_url = "{outside}{BASE_URLS[subject.provider]}"',
        f"options = {{ {options} }}",
        f"quiet_s = {QUIET_S}" if told is None else f'callbacks = "{told}"',
    ]
    return "\n".join(lines) + "\n\n"


@asynccontextmanager
async def _serving(app: ASGIApp, listener: socket.socket, lifespan: Any) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app, lifespan=lifespan, log_level="critical", access_log=False, timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _listener() -> socket.socket:
    """Listens already: whoever connects before the server is up is kept waiting, not refused."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(200)
    return listener


def _address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
