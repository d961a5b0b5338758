"""The composition root: settings in, a running service out. Everything is made here and handed down."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from service.accounts import Accounts, Desk
from service.channels.registry import CHANNELS
from service.domain.admission import Caps
from service.domain.catalog import Catalog
from service.domain.due import LEASE_MS
from service.domain.errors import Unavailable
from service.domain.ids import Ids
from service.domain.patience import Pace
from service.egress import Guard as EgressGuard
from service.egress import Transport
from service.loops import Loops
from service.parts import Parts
from service.providers.base import Account, Callbacks
from service.providers.registry import GATEWAYS
from service.sandbox import BASE_URLS, SandboxSettings, create_sandbox
from service.sandbox.app import ROOT as SANDBOX_ROOT
from service.settings import Settings
from service.signing import CallbackTokens, Seal, new_secret
from service.store import apps, deliveries, journal, migrate, restored
from service.store.apps import DEFAULT_APP
from service.store.clock import Following
from service.store.database import Database, inside_transaction
from service.store.postgres import Postgres
from service.store.sqlite import SQLite
from service.web.guard import Guard
from service.web.site import Front, site

log = logging.getLogger("callsheet.app")

READY_S = 3.0
"""For the database to take a row: whoever asks whether we are ready is told in time that we are not."""
DEMO_WORLD = SandboxSettings(queue_s=0.4, run_s=1.0)
"""Long enough to watch, short enough not to wait for."""
SANDBOX_PACE = Pace(queued_s=5, running_s=5, widen=1.3, cap_s=60)
"""The sandbox's jobs take seconds; its silence means something much sooner."""
PATIENCE_CAP_S = 300.0
"""Where an operator names the first pause (`quiet_s`), the later ones widen up to this, or stay as long as the first."""


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def database(settings: Settings) -> Database:
    """Whose clock it goes by: its own machine's where one process holds everything, the database's where there are many."""
    path = settings.sqlite_path
    if path is not None:
        return SQLite(path, Ids(clock_ms, random.random), clock_ms)
    clock = Following()
    return Postgres(settings.database_url, Ids(clock, random.random), clock, pooled=settings.pooled)


def accounts(settings: Settings) -> Accounts:
    """In the order of the route; without one, in the order of the documentation."""
    desks = []
    for a in settings.accounts:
        gateway = GATEWAYS[a.provider]
        base_url = a.base_url or gateway.base_url
        assert base_url is not None, "settings ask for it"
        callbacks = None if a.callbacks is None else Callbacks(a.callbacks)
        facts = gateway.facts
        caps = Caps(a.in_flight or facts.in_flight, a.per_minute or facts.per_minute)
        pace = None if a.quiet_s is None else Pace(a.quiet_s, a.quiet_s, widen=1.3, cap_s=max(a.quiet_s, PATIENCE_CAP_S))
        account = Account(a.provider, a.name, base_url, a.api_key, callbacks, a.options)
        desks.append(Desk(account, gateway, pace, caps, a.confirm_endings))
    if settings.sandboxed:
        base_url = f"{settings.own_url}{BASE_URLS['sandbox']}"
        desks.append(Desk(Account("sandbox", "default", base_url, "sandbox"), GATEWAYS["sandbox"], SANDBOX_PACE))
    if settings.route:
        desks = [d for name in settings.route for d in desks if d.account.provider == name]
    return Accounts(desks)


def make_parts(settings: Settings, db: Database) -> Parts:
    catalog = Catalog.default()
    guard = EgressGuard(settings.egress_allow, http=not settings.production)
    return Parts(
        db=db,
        clock=db.clock,
        random=random.random,
        transport=Transport(guard, forbidden=inside_transaction),
        tokens=CallbackTokens(settings.signing_keys, db.clock),
        seal=Seal(settings.encryption_keys),
        accounts=accounts(settings),
        catalog=catalog.extended(settings.config) if settings.config else catalog,
        channels=CHANNELS,
        public_url=settings.public_url,
        keep=settings.keep,
        guard=guard,
    )


async def prepare(parts: Parts) -> None:
    """What has to be in the database before anything happens: its own name, the default app, names and places above all that
    were given."""
    await parts.db.write(lambda tx: apps.ensure_identity(tx, secrets.token_hex(8)))
    sealed = parts.seal.seal(new_secret().encode())
    row = {"id": DEFAULT_APP, "label": "", "weight": 1, "sealed": sealed}
    await parts.db.write(lambda tx: apps.ensure_app(tx, row | {"created_at": tx.now}))
    await parts.db.write(restored.go_on)
    if isinstance(parts.db, SQLite):
        await parts.db.write(lambda tx: deliveries.take_back(tx, LEASE_MS))
    parts.db.ids.raise_floor(await parts.db.read(journal.last_id))


@dataclass(slots=True)
class Service:
    """The running parts of one process."""

    parts: Parts
    loops: Loops

    async def ready(self) -> dict[str, str]:
        wrong: dict[str, str] = {}
        try:
            async with asyncio.timeout(READY_S):
                await self.parts.db.write(lambda tx: apps.beat(tx, "readyz"))
        except TimeoutError:
            wrong["database"] = "it takes too long"
        except Unavailable as error:
            wrong["database"] = str(error)
        except Exception as error:
            log.error("readyz.failed", exc_info=error)
            wrong["database"] = "it does not take what we write; the log says why"
        for name in self.loops.stalled():
            wrong[f"loop {name}"] = "has no pulse"
        return wrong


class App:
    """The ASGI application. Its parts are made when the server starts, inside its event loop."""

    def __init__(self, settings: Settings, *, loops: bool = True, web: bool = True) -> None:
        self._settings, self._with_loops, self._web = settings, loops, web
        self._site: ASGIApp | None = None
        self._parts: Parts | None = None
        self.failure: Exception | None = None
        """Why it did not start, for whoever started it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            assert self._site is not None, "the server has to run the lifespan"
            await self._site(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            running = self.run()
            await running.__aenter__()
        except Exception as error:
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)[:500]})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await running.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})

    def is_crowded(self) -> bool:
        return self._parts is not None and self._parts.is_crowded()

    def turned_away(self) -> None:
        """Somebody was, before he got here."""
        if self._parts is not None:
            self._parts.metrics.turned_away()

    def knock(self, provider: str, token: str, body: bytes, answer: Callable[[int], None]) -> bool:
        """See the callback door."""
        return isinstance(self._site, Front) and self._site.callbacks.knock(provider, token, body, answer)

    async def hang_up(self) -> None:
        """Streams and waiting callers have no end of their own: they are ended before a server waits for its connections."""
        if self._parts is not None:
            self._parts.watch.close()
        if isinstance(self._site, Front):
            await self._site.hub.close()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Service]:
        settings = self._settings
        db = database(settings)
        if isinstance(db, SQLite):
            db.hold()  # before anything touches the file
            migrate.to_head_sqlite(db.path)
        await db.start()
        parts = self._parts = make_parts(settings, db)
        try:
            if not isinstance(db, SQLite):
                await migrate.require_head(db)
            await prepare(parts)
            loops = Loops(parts, working=self._with_loops)
            service = Service(parts, loops)
            sandbox = (
                create_sandbox(replace(DEMO_WORLD, memory=str(settings.folder / "sandbox.jsonl")))
                if settings.sandboxed and self._web
                else None
            )
            mounts = [Mount(SANDBOX_ROOT, sandbox)] if sandbox is not None else []
            if self._web:
                self._site = site(parts, Guard(parts, settings.admin_key), service.ready, mounts)
            if sandbox is not None:
                sandbox.state.sandbox.world.resume()
            if isinstance(db, Postgres):
                db.carry(parts.bells, parts.watch)
            loops.start()
            parts.lateness.start()
            log.info(
                "started",
                extra={"engine": type(db).__name__, "providers": ",".join(sorted({p for p, _ in parts.accounts.desks}))},
            )
            try:
                yield service
            finally:
                parts.lateness.stop()
                await loops.stop()
                if sandbox is not None:
                    await sandbox.state.sandbox.stop()
        finally:
            await parts.transport.aclose()
            await db.stop()
            log.info("stopped")
