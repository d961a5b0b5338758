"""The whole site: health, metrics, the contract it publishes, and one shape for everything that goes wrong."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service import app
from service.app import Service
from service.domain.matching import EVENTS
from service.loops import Loops
from service.store import apps
from service.web import openapi
from service.web.guard import Guard
from service.web.site import ENDPOINTS, site
from tests.web.conftest import is_a_problem, ordered
from tests.world import ADMIN, World

pytestmark = pytest.mark.anyio

PUBLIC = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")


@pytest.mark.parametrize("path", PUBLIC)
async def test_what_machines_and_people_look_at_needs_no_key(world: World, path: str) -> None:
    assert (await world.http.get(path)).status_code == 200
    assert (await world.http.head(path)).status_code == 200
    is_a_problem(await world.http.post(path), 405, "method-not-allowed")


async def test_ready_says_what_is_wrong(world: World) -> None:
    assert (await world.http.get("/readyz")).json() == {"ready": True, "wrong": {}}

    async def wrong() -> dict[str, str]:
        return {"database": "the disk is full"}

    red = site(world.parts, Guard(world.parts, ADMIN), wrong)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(red), base_url="https://callsheet.test") as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"ready": False, "wrong": {"database": "the disk is full"}}


async def test_ready_is_measured_by_a_real_write(world: World) -> None:
    await world.db.write(lambda tx: apps.beat(tx, "readyz"))
    world.now += 5
    await world.db.write(lambda tx: apps.beat(tx, "readyz"))
    assert [r.at for r in await world.rows("SELECT at FROM pulse WHERE name = 'readyz'")] == [world.now]


async def test_a_database_in_whatever_trouble_makes_ready_red_and_never_a_bug(world: World) -> None:
    service = Service(world.parts, Loops(world.parts, working=False))
    service.loops.start()
    assert await service.ready() == {}
    await world.db.write(lambda tx: tx.sql.exec_driver_sql("ALTER TABLE pulse RENAME TO pulse_away"))
    try:
        wrong = await service.ready()
    finally:
        await world.db.write(lambda tx: tx.sql.exec_driver_sql("ALTER TABLE pulse_away RENAME TO pulse"))
    assert list(wrong) == ["database"]
    assert wrong["database"]
    assert await service.ready() == {}
    await service.loops.stop()


async def test_a_database_that_does_not_answer_makes_ready_red_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "READY_S", 0.01)
    service = Service(world.parts, Loops(world.parts, working=False))
    monkeypatch.setattr(world.db, "write", lambda _: asyncio.Event().wait())
    assert (await service.ready())["database"] == "it takes too long"


async def test_metrics_are_text_that_holds_no_names(world: World) -> None:
    await world.subscribe()
    task = (await ordered(world)).json()
    await world.callback("succeeded")
    await world.deliver()
    answer = await world.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'callsheet_reports_total{provider="ark",source="callback",verdict="advance"} 1.0' in answer.text
    for name in (task["id"], "cgt-1", "hook.test", ADMIN):
        assert name not in answer.text


# --- the contract ---


async def spec(world: World) -> dict[str, Any]:
    out: dict[str, Any] = (await world.http.get("/openapi.json")).json()
    return out


async def test_the_contract_is_valid_openapi_3_1() -> None:
    document = openapi.document(ENDPOINTS, "https://callsheet.test")
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


async def test_the_contract_lists_every_endpoint_and_nothing_else(world: World) -> None:
    document = await spec(world)
    told = {(m.upper(), p) for p, methods in document["paths"].items() for m in methods}
    assert told == {(e.method, e.path) for e in ENDPOINTS}
    names = [o["operationId"] for methods in document["paths"].values() for o in methods.values()]
    assert len(names) == len(set(names))


async def test_the_contract_tells_every_webhook(world: World) -> None:
    assert set((await spec(world))["webhooks"]) == set(EVENTS)


async def test_everything_the_contract_refers_to_is_in_it(world: World) -> None:
    document = await spec(world)
    referred = set(re.findall(r"#/components/schemas/(\w+)", (await world.http.get("/openapi.json")).text))
    assert referred <= set(document["components"]["schemas"])


async def test_a_real_task_is_the_task_of_the_contract(world: World) -> None:
    properties = (await spec(world))["components"]["schemas"]["TaskOut"]
    task = (await ordered(world)).json()
    assert set(task) == set(properties["properties"])
    assert set(properties["required"]) <= set(task)


async def test_the_page_for_people_names_every_call(world: World) -> None:
    page = (await world.http.get("/docs")).text
    assert all(f"{e.method} {e.path}" in page for e in ENDPOINTS)


async def test_every_endpoint_says_what_it_does_and_whom_it_lets() -> None:
    for e in ENDPOINTS:
        assert e.summary
        assert e.scope in ("submit", "read", "manage", "admin")
    assert len({(e.method, e.path) for e in ENDPOINTS}) == len(ENDPOINTS)


# --- what goes wrong ---


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/tasks", "/v1/task", "/v1/tasks/a/b", "/.env", "/%00", "/callback/ark/x"])
async def test_an_address_nobody_lives_at_is_a_problem_of_that_shape(world: World, path: str) -> None:
    is_a_problem(await world.http.get(path), 404, "not-found")


@pytest.mark.parametrize("path", sorted({e.path for e in ENDPOINTS}))
async def test_a_method_that_a_path_does_not_know_is_told_which_it_knows(world: World, path: str) -> None:
    known = {e.method for e in ENDPOINTS if e.path == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
        answer = await world.http.request(method, re.sub(r"{\w+}", "x", path))
        is_a_problem(answer, 405, "method-not-allowed")
        assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == known


async def test_a_bug_is_logged_and_tells_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def explode() -> int:
        raise ZeroDivisionError("a secret thing")

    parts = replace(world.parts, clock=explode)
    broken = site(parts, Guard(parts, ADMIN), world._ready)
    transport = httpx.ASGITransport(broken, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://callsheet.test") as http:
        key = (await world.api("POST", "/v1/apps/default/keys", {})).json()["key"]
        answer = await http.get("/v1/tasks", headers={"Authorization": f"Bearer {key}"})
    is_a_problem(answer, 500, "bug")
    assert "secret" not in answer.text
    assert "http.failed" in [r.message for r in caplog.records]


async def test_head_is_get_without_its_body(world: World) -> None:
    answer = await world.api("HEAD", "/v1/tasks")
    assert answer.status_code == 200
