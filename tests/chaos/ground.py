"""The ground a run stands on: one engine, the processes of one service on it, a provider, subscribers, a caller.

`ground("sqlite" | server, …)` gives everything; the verbs are those of an operator with bad habits: `start`, `kill`,
`freeze`, `thaw`, `turn` the clock, `drain` until nothing is owed any more.
"""

import asyncio
import os
import random
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg  # type: ignore[import-untyped]
import orjson
from aiohttp import web

from service.domain.keep import Keep
from service.store import migrate
from tests.chaos.ark import Player
from tests.chaos.clock import Clock
from tests.chaos.history import History
from tests.chaos.nursery import Nursery
from tests.chaos.subscribers import Subscribers
from tests.conftest import empty
from tests.postgres import Server
from tests.process.harness import KEYS, PROVIDER_KEY, free_port

LEASE_OVER_S = 61.0
"""Every lease of a delivery is over by then."""
HOUR_S = 3_600.0
UNTURNED_S = 0.7
"""What is settled without anybody's help is settled by then."""
REST_S = 1.0
"""What is being sent is at the provider by then."""
WITHIN_S = 40.0
MODEL = "seedance-1-0-pro-250528"


class NeverCame(AssertionError):
    pass


async def until(look: Callable[[], Awaitable[Any]], what: str, within_s: float = WITHIN_S) -> Any:
    end = time.monotonic() + within_s
    found = None
    while time.monotonic() < end:
        try:
            found = await look()
        except (
            aiohttp.ClientError,
            OSError,
            TimeoutError,
            sqlite3.OperationalError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
        ):
            found = None
        if found:
            return found
        await asyncio.sleep(0.03)
    raise NeverCame(f"within {within_s:.0f} s: {what}")


@dataclass(slots=True)
class Process:
    argv: tuple[str, ...]
    pid: int
    port: int
    log: Path

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def status(self, name: str) -> int:
        """A figure of its kernel's, e.g. VmRSS in KiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
        return 0

    @property
    def ports(self) -> set[int]:
        """The local ones of all its connections."""
        links = [os.readlink(file) for file in Path(f"/proc/{self.pid}/fd").iterdir()]
        mine = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
        table = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return {int(entry[1].rpartition(":")[2], 16) for entry in table if entry[9] in mine}

    @property
    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@dataclass(slots=True)
class Ground:
    home: Path
    database_url: str
    server: Server | None
    clock: Clock
    nursery: Nursery
    history: History
    player: Player
    subscribers: Subscribers
    outside_url: str
    """Of the provider and the subscribers."""
    dice: random.Random
    keep: Keep = field(default_factory=Keep)
    port: int = field(default_factory=free_port)
    processes: list[Process] = field(default_factory=list)
    loads: int = 0
    cut_off: set[int] = field(default_factory=set)
    """Deliveries whose attempt may have outlived its lease, because the clock was turned."""
    http: aiohttp.ClientSession = field(init=False)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {KEYS['CALLSHEET_ADMIN_KEY']}"}
        few = aiohttp.TCPConnector(limit=16)
        timeout = aiohttp.ClientTimeout(10)
        self.http = aiohttp.ClientSession(self.url, headers=headers, connector=few, timeout=timeout, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def engine(self) -> str:
        return "sqlite" if self.server is None else "postgres"

    # --- processes ---

    def fork(self, *argv: str, port: int | None = None) -> Process:
        port = port or self.port
        env = {
            **KEYS,
            "CALLSHEET_DATABASE_URL": self.database_url,
            "CALLSHEET_PUBLIC_URL": self.url,
            "CALLSHEET_EGRESS_ALLOW": "127.0.0.0/8",
            "CALLSHEET_ARK_API_KEY": PROVIDER_KEY,
            "CALLSHEET_ARK_BASE_URL": f"{self.outside_url}/ark",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            **{f"CALLSHEET_KEEP_{name.upper()}_DAYS": str(days) for name, days in asdict(self.keep).items()},
        }
        log = self.home / f"{argv[0]}-{len(self.processes)}.log"
        process = Process(argv, self.nursery.fork(argv, env, self.home, log), port, log)
        self.processes.append(process)
        return process

    async def start(self, *argv: str) -> Process:
        """Ready when it says so; a process without HTTP is taken at its word in the log."""
        process = self.fork(*argv)
        try:
            if argv[0] == "serve":
                await until(lambda: self._ready(process), f"{argv} ready")
            else:
                await until(lambda: _logged(process, "started"), f"{argv} started")
        except NeverCame as error:
            tail = process.log.read_text()[-2_000:] if process.log.exists() else ""
            raise NeverCame(f"{error}\n{tail}") from None
        return process

    async def _ready(self, process: Process) -> bool:
        if not process.alive:
            raise NeverCame(f"{process.argv} ended by itself:\n{process.log.read_text()[-2_000:]}")
        return (await self.readyz()) == 200

    async def readyz(self) -> int:
        async with self.http.get("/readyz") as answer:
            await answer.read()
            return answer.status

    async def kill(self, process: Process) -> None:
        """As a machine would that loses power."""
        self.history.expect(process.alive, f"{process.argv[0]} ended by itself")
        process.send(signal.SIGKILL)
        await self.ended(process)

    async def ended(self, process: Process) -> None:
        await until(lambda: _truth(not process.alive), f"{process.argv[0]} ends")

    def freeze(self, process: Process) -> None:
        process.send(signal.SIGSTOP)

    def thaw(self, process: Process) -> None:
        process.send(signal.SIGCONT)

    async def turn(self, s: float) -> None:
        """The clock of all processes. Whatever is under way loses its lease, and may be told twice."""
        self.cut_off |= await self._leased()
        self.clock.turn(s)
        self.cut_off |= await self._leased()

    async def _leased(self) -> set[int]:
        return {i for (i,) in await self.rows("SELECT id FROM delivery WHERE state = 'pending' AND fence > 0")}

    # --- the caller ---

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(0, None): there was no answer."""
        try:
            async with self.http.request(method, path, json=body, headers=headers) as answer:
                raw = await answer.read()
                return answer.status, orjson.loads(raw or b"null")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, None

    async def subscribe(self, name: str, **more: Any) -> str:
        status, made = await self.ask("POST", "/v1/subscriptions", {"target": f"{self.outside_url}/notices/{name}", **more})
        assert status == 201, (status, made)
        self.subscribers.secrets[name] = made["secret"]
        return str(made["id"])

    async def order(self, key: str, prompt: str = "", tries: int = 200) -> str | None:
        """Repeated under its key until it is acknowledged; every acknowledgement names the same task."""
        for _ in range(tries):
            body = {"model": MODEL, "prompt": f"{prompt} {key}"}
            status, task = await self.ask("POST", "/v1/tasks", body, **{"Idempotency-Key": key, "Prefer": "wait=0"})
            self.history.answers[f"order {status or 'broken'}"] += 1
            if status == 201:
                before = self.history.orders.setdefault(key, task["id"])
                self.history.expect(before == task["id"], f"order {key} is {before} and {task['id']}")
                return str(task["id"])
            if status not in (0, 409, 503):
                self.history.breach(f"order {key} was answered {status}: {task}")
                return None
            await asyncio.sleep(0.1)
        self.history.breach(f"order {key} was never acknowledged")
        return None

    @asynccontextmanager
    async def load(self, per_s: float) -> AsyncIterator[None]:
        """Orders at this rate as long as the block lasts; all of them are acknowledged at its end."""
        stopping = asyncio.Event()
        orders: list[asyncio.Task[str | None]] = []
        self.loads += 1
        name = f"load-{self.loads}"

        async def place() -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                orders.append(asyncio.create_task(self.order(f"{name}-{number}")))
                await asyncio.sleep(self.dice.expovariate(per_s))

        placing = asyncio.create_task(place())
        try:
            yield
        finally:
            stopping.set()
            await placing
            await asyncio.gather(*orders)

    # --- the database ---

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        if self.server is None:
            return await asyncio.to_thread(self._sqlite, statement)
        connection = await asyncpg.connect(self.database_url, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    def _sqlite(self, statement: str) -> list[tuple[Any, ...]]:
        path = self.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as sql:
            return sql.execute(statement).fetchall()

    async def one(self, statement: str) -> Any:
        [(value,)] = await self.rows(statement)
        return value

    def gone(self, at_s: float) -> bool:
        """So old that the janitor may have had it."""
        return at_s < self.clock.now_s() - self.keep.tasks * 86_400

    # --- the end ---

    async def owed(self) -> tuple[int, int]:
        """(tasks that have not ended, notices not delivered). Not owed: an order whose sender was cut off before the provider
        had it. Nobody may send it again."""
        placed = {job.prompt for job in self.player.jobs.values() if "[still]" not in job.prompt}
        rows = await self.rows(
            'SELECT t."order", s.outcome FROM task t LEFT JOIN submission s ON s.id = t.submission_id WHERE t.ended_at IS NULL'
        )
        tasks = sum(prompt_of(str(order)) in placed or outcome not in ("sending", "unknown") for order, outcome in rows)
        return tasks, int(await self.one("SELECT count(*) FROM delivery WHERE state = 'pending'"))

    async def drain(self, *turns_s: float, within_s: float = 60.0) -> None:
        """Until nothing is owed. With turns: the clock is turned by each of them, one after the other, while something is."""

        async def quiet() -> bool:
            return self.player.calling == 0 and await self.owed() == (0, 0)

        async def nothing() -> bool:
            """Twice: an order that is just being sent is owed to nobody, and the provider has not got it yet."""
            if not await quiet():
                return False
            await asyncio.sleep(REST_S)
            return await quiet()

        began = time.monotonic()
        for turn_s in turns_s:
            try:
                await until(nothing, "nothing is owed", UNTURNED_S)
                break
            except NeverCame:
                await self.turn(turn_s)
        try:
            await until(nothing, "nothing is owed any more", within_s)
        except NeverCame:
            self.history.breach(f"after {within_s:.0f} s it still owes (tasks, notices) {await self.owed()}")
        self.history.note("drained after, s", time.monotonic() - began)

    async def close(self) -> None:
        for process in self.processes:
            process.send(signal.SIGKILL)
        await self.http.close()


def prompt_of(order: str) -> str:
    said: dict[str, Any] = orjson.loads(order)
    if "prompt" in said:
        return str(said["prompt"])
    return next((str(item.get("text")) for item in said.get("content", []) if item.get("type") == "text"), "")


async def _truth(value: bool) -> bool:
    return value


async def _logged(process: Process, word: str) -> bool:
    if not process.alive:
        raise NeverCame(f"{process.argv} ended by itself")
    return process.log.exists() and word in process.log.read_text()


@asynccontextmanager
async def ground(nursery: Nursery, clock: Clock, server: Server | None, seed: int, home: Path) -> AsyncIterator[Ground]:
    """`server` None: SQLite. The nursery's processes follow `clock`."""
    clock.reset()
    history = History()
    player, subscribers = Player(clock, history, seed), Subscribers(clock, history)
    if server is None:
        database_url = f"sqlite:///{home}/callsheet.db"
    else:
        database_url = server.url
        await migrate.to_head_postgres(database_url)
        await empty(database_url)
    site = web.Application()
    player.routes(site)
    subscribers.routes(site)
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=1)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    await web.SockSite(runner, listening).start()
    outside_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    made = Ground(home, database_url, server, clock, nursery, history, player, subscribers, outside_url, random.Random(seed))
    try:
        yield made
    finally:
        await made.close()
        subscribers.stop()
        await player.stop()
        await runner.cleanup()
        clock.reset()
