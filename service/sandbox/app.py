"""Puts the simulated world behind one ASGI app, and serves it alone when asked to."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from service.sandbox import acedata, ark, pixazo, yescale
from service.sandbox.herald import IN_FLIGHT, Herald
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.receiver import Receiver
from service.sandbox.settings import SandboxSettings
from service.sandbox.stats import Stats
from service.sandbox.watch import Watch

ROOT = "/sandbox"
"""Where it is mounted, in a service and alone."""

BASE_URLS = {
    "sandbox": f"{ROOT}/api/v3",
    "ark": f"{ROOT}/ark/api/v3",
    "byteplus": f"{ROOT}/byteplus/api/v3",
    "agentsflare": f"{ROOT}/agentsflare/byteplus/v3",
    "acedata": f"{ROOT}/acedata",
    "yescale": f"{ROOT}/yescale",
    "pixazo": f"{ROOT}/pixazo",
    "apiyi": f"{ROOT}/apiyi/seedance/api/v3",
}
"""What goes behind `http://host:port` as a provider's base URL."""

_LETTERS: Mapping[str, Callable[[Job], dict[str, Any] | None]] = {
    "acedata": acedata.letter,
    "yescale": yescale.letter,
    "pixazo": pixazo.letter,
}
"""How each calls back; the rest as Ark does."""


class Sandbox:
    """All parts of one simulated world. Nothing runs until the first order; what runs ends with `stop`."""

    def __init__(
        self,
        settings: SandboxSettings,
        now_s: Callable[[], float],
        say: Callable[[str], None],
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        rng = random.Random(settings.seed)
        self.stats = Stats()
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        self._herald = Herald(settings, self.stats, rng, transport or httpx.AsyncHTTPTransport(trust_env=False, limits=limits))
        self.world = World(settings, self.stats, now_s, rng, self._tell)
        self.receiver = Receiver(now_s, say if settings.print else None)

    def _tell(self, job: Job) -> None:
        letter = _LETTERS.get(job.provider, ark.letter)(job)
        if letter is not None:
            self._herald.tell(job, letter)

    @property
    def calling(self) -> frozenset[asyncio.Task[None]]:
        """The callbacks on their way: whoever has to know that none is left can wait for these."""
        return self._herald.tasks.running

    async def stop(self) -> None:
        await self.world.stop()
        await self._herald.stop()

    async def __aenter__(self) -> Self:
        self.world.resume()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _say(line: str) -> None:
    print(line, flush=True)


def create_sandbox(
    settings: SandboxSettings | None = None,
    now_s: Callable[[], float] = time.time,
    say: Callable[[str], None] = _say,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Starlette:
    """To be mounted at ROOT. Its parts are at `app.state.sandbox`, a context manager: whoever mounts the app enters that,
    because a mounted app's own lifespan is never run. `transport` carries the callbacks."""
    sandbox = Sandbox(settings or SandboxSettings(), now_s, say, transport)
    world = sandbox.world

    paths = {provider: url.removeprefix(ROOT) for provider, url in BASE_URLS.items()}
    app = Starlette(
        routes=[
            *Watch(world, paths).routes(),
            *sandbox.receiver.routes(),
            *ark.Ark(world, "sandbox").routes(paths["sandbox"]),
            *ark.Ark(world, "ark").routes(paths["ark"]),
            *ark.Ark(world, "byteplus").routes(paths["byteplus"]),
            *ark.Ark(world, "agentsflare", lists=False).routes(paths["agentsflare"]),
            *ark.Apiyi(world).routes(paths["apiyi"]),
            *acedata.AceData(world).routes(paths["acedata"]),
            *yescale.YEScale(world).routes(paths["yescale"]),
            *pixazo.Pixazo(world).routes(paths["pixazo"]),
        ]
    )
    app.state.sandbox = sandbox
    return app


def alone(app: Starlette) -> Starlette:
    """The sandbox as a whole server, at the same paths as inside a service."""

    @asynccontextmanager
    async def lifespan(outer: Starlette) -> AsyncIterator[None]:
        async with app.state.sandbox:
            yield

    return Starlette(routes=[Mount(ROOT, app)], lifespan=lifespan)


def serve(host: str, port: int, settings: SandboxSettings | None = None) -> None:
    """Until somebody ends it. Without an access log: the addresses in it would be other people's."""
    for name, path in BASE_URLS.items():
        print(f"{name:<12} http://{host}:{port}{path}")
    print(f"{'words':<12} http://{host}:{port}{ROOT}/", flush=True)
    # A hanging answer is what `[timeout]` is for: it does not hold up the end.
    app = alone(create_sandbox(settings))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
