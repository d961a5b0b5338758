"""After a run in which everything happened that happens, every secret that was used is searched for in all that is left of
it: log lines, metrics, answers, notices, and every value of every row. Found: none."""

import base64
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from service.accounts import Desk
from service.domain.admission import Caps
from service.flow import work
from service.log import Lines
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from service.store.tables import TABLES
from service.web.callbacks import HIDDEN
from service.web.site import ENDPOINTS
from tests.web.test_guard import body_of, made_up, new_key
from tests.world import ADMIN, ARK, Engine, World

pytestmark = pytest.mark.anyio

SLACK = "https://hooks.slack.com/services/T0SECRET/B0SECRET/s3cr3t-of-slack"
DISCORD = "https://discord.com/api/webhooks/1234567890/s3cr3t-of-discord"
TEAMS = "https://prod-1.westus.logic.azure.com/workflows/s3cr3t-of-teams/triggers/manual/paths/invoke?sig=s3cr3t-sig"
HOOK = "https://hook.test/path?token=s3cr3t-query"
OWN = "https://own.test/own-path?token=s3cr3t-own-query"
HEADERS = {"X-Api-Key": "s3cr3t-header", "Authorization": "Bearer s3cr3t-bearer"}
MARK = "s3cr3t"
PROVIDER_KEYS = ("a-provider-key-nobody-may-see", "another-provider-key-nobody-may-see")


class Ear(logging.Handler):
    """Hears every logger at every level, as both kinds of reader would see it, and every attribute of a record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The test's own client writes the addresses that it calls into its own log.
        if record.name.partition(".")[0] not in ("httpx", "httpcore", "asyncio"):
            self.lines += [Lines(False).format(record), Lines(True).format(record), repr(record.__dict__)]


@pytest.fixture
def ear() -> Iterator[Ear]:
    root, heard = logging.getLogger(), Ear()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    yield heard
    root.removeHandler(heard)
    root.setLevel(level)


@dataclass(slots=True)
class Run:
    """What was used, and what was answered."""

    secrets: set[str] = field(default_factory=set)
    answers: list[str] = field(default_factory=list)
    errors: int = 0


async def ask(world: World, run: Run, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """An answer that shows nothing: those few that hand out a secret once are asked for with `api` itself."""
    answer = await world.api(method, path, body, **headers)
    run.answers.append(f"{answer.headers!r} {answer.text}")
    run.errors += answer.status_code >= 400
    return answer


def tokens(world: World) -> set[str]:
    return {job.callback_url.rpartition("/")[2] for job in world.jobs.values()}


async def subscriptions(world: World, run: Run) -> list[str]:
    """One of every channel, and their keys."""
    targets: list[dict[str, Any]] = [
        {"target": HOOK, "headers": HEADERS, "events": ["*"]},
        {"target": HOOK.replace("hook.test", "v1a.test"), "options": {"signature": "v1a"}},
        {"target": HOOK.replace("hook.test", "dead.test")},
        {"channel": "slack", "target": SLACK},
        {"channel": "discord", "target": DISCORD},
        {"channel": "teams", "target": TEAMS},
    ]
    names = []
    for fields in targets:
        made = await world.api("POST", "/v1/subscriptions", fields)
        assert made.status_code == 201, made.text
        names.append(made.json()["id"])
        run.secrets |= {made.json()[name] for name in ("secret",) if name in made.json()}
    for name in names[:2]:
        rotated = (await world.api("POST", f"/v1/subscriptions/{name}/rotate", {})).json()
        run.secrets |= {rotated["secret"]} if "secret" in rotated else set()
    return names


async def everything_happens(world: World, run: Run) -> None:
    run.secrets |= {ADMIN, *world.signing, *world.encryption, *PROVIDER_KEYS}
    key = await new_key(world, "default", "submit", "read", "manage")
    app = (await world.api("POST", "/v1/apps", {"id": "film"})).json()["secret"]
    again = (await world.api("POST", "/v1/apps/film/rotate", {})).json()["secret"]
    run.secrets |= {key, app, again, await new_key(world, "film", "read")}
    names = await subscriptions(world, run)
    world.on_notice["hook.test"] = [httpx.Response(500, text="no"), httpx.ReadTimeout("late")]
    world.on_notice["dead.test"] = [httpx.ConnectError("All connection attempts failed")] * 40
    world.on_notice["hooks.slack.com"] = [
        httpx.Response(429, headers={"Retry-After": "1"}),
        httpx.Response(404, text="no_service"),
    ]
    first = await world.submit("a paper boat", callback_url=OWN)
    await world.callback("running")
    await world.callback("succeeded")
    world.on_create += [
        "accept and time out",
        httpx.Response(401, json={"error": {"code": "AuthenticationError", "message": f"key {PROVIDER_KEYS[0]} is no good"}}),
        httpx.Response(500, text=f"Bearer {PROVIDER_KEYS[1]}"),
        httpx.ConnectError("refused"),
    ]
    for number in range(5):
        await world.submit(f"number {number}", callback_url=OWN)
    for job in list(world.jobs.values()):
        await world.callback("running", job)
        # A provider that tells us the address it was given, where we show what it says.
        await world.callback("failed", job, error={"code": "BadCallback", "message": f"cannot post to {job.callback_url}"})
        await world.callback("succeeded", job)
        await world.post_callback(job.callback_url, b"{")
        await world.http.get(job.callback_url)
        await world.http.post(job.callback_url.replace("/ark/", "/apiyi/"))
        await world.http.post(job.callback_url[:-1], content=b"{}")
    world.on_query += [httpx.Response(403, text=PROVIDER_KEYS[0]), httpx.Response(500)]
    for hours in (0, 0.1, 1, 30):
        world.silence(hours=hours)
        await world.send()
        await world.reconcile()
        await world.deliver()
    world.signing.append("the-next-signing-key-of-thirty-two")
    world.encryption.append(Fernet.generate_key().decode())
    run.secrets |= tokens(world)
    await world.crash()
    await world.submit("after the rotation", callback_url=OWN)
    await world.callback("succeeded")
    await ask(world, run, "POST", "/v1/keys/reencrypt", {})
    while await work.step(world.parts):
        pass
    await world.deliver()
    run.secrets |= {*world.signing, *world.encryption, *tokens(world)}
    await everybody_asks(world, run, key, names)
    assert first.remote_id is not None


async def everybody_asks(world: World, run: Run, key: str, names: list[str]) -> None:
    """Every route with what exists and with what does not, by keys that are right, wrong and nearly right."""
    tasks = (await ask(world, run, "GET", "/v1/tasks")).json()["data"]
    told = (await ask(world, run, "GET", "/v1/deliveries?limit=200")).json()["data"]
    for task in tasks:
        for what in ("", "/timeline", "/explain"):
            await ask(world, run, "GET", f"/v1/tasks/{task['id']}{what}")
    for name in names:
        await ask(world, run, "GET", f"/v1/subscriptions/{name}")
        await ask(world, run, "PATCH", f"/v1/subscriptions/{name}", {"target": f"ftp://{MARK}.test/"[:3]})
    await ask(world, run, "GET", f"/v1/deliveries/{told[0]['id']}")
    for path in ("/metrics", "/healthz", "/readyz", "/docs", "/openapi.json", "/.well-known/jwks.json", "/v1/providers"):
        await ask(world, run, "GET", path)
    for wrong in (key[:-1], ADMIN[:-1] + "x", key.upper(), key):
        for e in ENDPOINTS:
            await ask(world, run, e.method, made_up(e.path), body_of(e) if e.method != "POST" else None, key=wrong)
    await ask(world, run, "POST", "/v1/subscriptions", {"target": HOOK, "channel": "slack", "headers": HEADERS})
    await ask(world, run, "POST", "/v1/tasks", {"model": key, "callback_url": OWN, "prompt": 1})


async def stored(world: World) -> list[tuple[str, bytes]]:
    """Every value of every row, as bytes."""
    found = []
    for name, table in TABLES.items():
        for row in await world.db.read(lambda sql, table=table: sql.execute(select(table)).all()):
            for column, value in row._mapping.items():
                raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode("utf-8", "surrogatepass")
                found.append((f"{name}.{column}", raw))
    return found


def found_in(text: bytes, secrets: set[str]) -> list[str]:
    """In clear, and as what it is easily turned into."""
    forms = {s: (s.encode(), base64.b64encode(s.encode()), s.encode().hex().encode()) for s in secrets}
    return [s for s, each in forms.items() if any(form in text for form in each)]


@pytest.fixture
async def busy(engine: Engine) -> Any:
    desks = [
        Desk(Account("ark", name, ARK.replace("ark.test", host), key), GATEWAYS["ark"], caps=Caps())
        for name, host, key in (("default", "ark.test", PROVIDER_KEYS[0]), ("second", "second.test", PROVIDER_KEYS[1]))
    ]
    async with World(engine, desks=desks) as world:
        yield world


async def test_no_secret_that_was_used_is_left_anywhere_in_clear(busy: World, ear: Ear) -> None:
    run = Run()
    await everything_happens(busy, run)
    secrets = run.secrets | {MARK}
    assert len(secrets) > 18
    assert len([s for s in secrets if s.count(".") == 2]) >= 3, "callback tokens are among them"
    assert run.errors > 50
    assert len(ear.lines) > 200

    def left_in(where: str, text: str | bytes) -> list[tuple[str, str]]:
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        return [(where, secret[:12]) for secret in found_in(raw, secrets)]

    left = [hit for line in ear.lines for hit in left_in(f"log {line[:120]}", line)]
    left += [hit for answer in run.answers for hit in left_in(f"answer {answer[:160]}", answer)]
    left += left_in("metrics", busy.parts.metrics.text())
    left += [hit for said in busy.said for hit in left_in(f"notice {said.type}", said.body)]
    rows = await stored(busy)
    left += [hit for where, raw in rows for hit in left_in(where, raw)]
    assert left == []
    assert {"receipt.body", "subscription.sealed", "app.sealed", "api_key.digest"} <= {where for where, _ in rows}
    assert any(HIDDEN in raw for where, raw in rows if where == "receipt.body"), "a provider repeated its address"


async def test_an_orders_own_callback_url_is_kept_sealed_and_shown_as_the_target_of_a_subscription_is(busy: World) -> None:
    await busy.subscribe()
    task = await busy.submit(callback_url=OWN)
    await busy.deliver()
    assert orjson.loads(task.order)["callback_url"] == "https://own.test/own-path?token=…"
    assert "callback_url" not in orjson.loads(bytes((await busy.rows("SELECT body FROM task_order"))[0].body))
    assert {said.host for said in busy.said} == {"hook.test", "own.test"}
    assert not [said for said in busy.said if MARK.encode() in said.body], "other subscribers are not told of it either"


async def test_what_is_searched_would_be_found(busy: World, ear: Ear) -> None:
    """The search itself: a secret in a log line's field, in an exception, in a row."""
    task = await busy.submit(f"a prompt with {PROVIDER_KEYS[0]}")
    logging.getLogger("callsheet.somewhere").info("said", extra={"reason": PROVIDER_KEYS[0]})
    assert any(found_in(line.encode(), {PROVIDER_KEYS[0]}) for line in ear.lines)
    held = {where for where, raw in await stored(busy) if found_in(raw, {PROVIDER_KEYS[0]})}
    assert held == {"task.order", "task_order.body", "event.body"}
    assert found_in(base64.b64encode(b"a-key"), {"a-key"}) == ["a-key"]
    assert orjson.loads(task.order)["prompt"]
