"""Who may do what: every endpoint with every scope, and every name of one app's things in the hands of another.

Both tables are made from the endpoints themselves: a new one is in them by itself, or the suite asks for it.
"""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from service.domain import ids
from service.web.endpoints import Endpoint
from service.web.guard import KNOWN_MS, SCOPES
from service.web.site import ENDPOINTS
from tests.world import ADMIN, PRO, Engine, World

pytestmark = pytest.mark.anyio

BODIES: Mapping[str, Any] = {
    "OrderIn": {"model": PRO, "prompt": "a paper boat"},
    "SubscriptionIn": {"target": "https://hook.test/"},
    "SubscriptionPatch": {"label": "new"},
    "AppIn": {"id": "another"},
    "KeyIn": {"scopes": ["read"]},
    "Nothing": {},
    "ResolveIn": {"outcome": "never_happened"},
    "RecoverIn": {"since": "2026-01-01T00:00:00Z"},
}
"""A good body for each shape; a new shape has to be given one."""


def name_of(e: Endpoint) -> str:
    return f"{e.method} {e.path}"


def body_of(e: Endpoint) -> Any:
    if e.body is None:
        return None
    return BODIES[e.body.__name__]


async def new_key(world: World, app: str, *scopes: str) -> str:
    made = await world.api("POST", f"/v1/apps/{app}/keys", {"scopes": list(scopes)}, key=ADMIN)
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


NAMES_KINDS = {"tasks": ids.TASK, "subscriptions": ids.SUBSCRIPTION, "deliveries": ids.DELIVERY, "events": ids.EVENT}


def made_up(path: str) -> str:
    """The path with names that nobody has."""
    kind = path.split("/")[2]
    path = path.replace("/v1/apps/{id}", "/v1/apps/nobody").replace("{key}", ids.encode(ids.KEY, 1))
    return re.sub(r"{\w+}", ids.encode(NAMES_KINDS.get(kind, "task"), 1), path)


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_may_do_what_its_scope_says_and_nothing_else(world: World, scope: str) -> None:
    key = await new_key(world, "default", scope)
    wrong = []
    for e in ENDPOINTS:
        answer = await world.api(e.method, made_up(e.path), body_of(e), key=key, Prefer="wait=0")
        allowed = e.scope == scope or scope == "admin"
        if (answer.status_code != 403) != allowed or answer.status_code >= 500:
            wrong.append((name_of(e), answer.status_code))
        if answer.status_code == 403:
            assert repr(e.scope) in answer.json()["detail"], "it is told which scope is missing"
    assert wrong == []


@pytest.mark.parametrize("e", ENDPOINTS, ids=name_of)
async def test_nobody_gets_in_without_a_key(e: Endpoint, shut: httpx.AsyncClient) -> None:
    wrong: list[Any] = [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer csk_00000000aaaaaaaaaaaaaaaaaaaaaaaa"},
        {"Authorization": f"Basic {ADMIN}"},
        {"Authorization": ADMIN},
        {"Authorization": f"Bearer {ADMIN}x"},
        {"Authorization": "Bearer " + "c" * 5_000},
        {"Authorization": "Bearer csk_\x1fabcdefgh"},
        {"Authorization": "Bearer csk_ümlaute".encode("latin-1")},
        {"Authorization": b"Bearer csk_\x00\x00\x00\x00\x00\x00\x00\x00"},
    ]
    for headers in wrong:
        answer = await shut.request(e.method, made_up(e.path), headers=httpx.Headers(headers), content=b"{}")
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"].endswith("/unauthorized")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shut(sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """One site for all endpoints: nothing that is refused leaves a trace in it."""
    path = tmp_path_factory.mktemp("shut") / "callsheet.db"
    path.write_bytes(sqlite_template.read_bytes())
    async with World(Engine(f"sqlite:///{path}")) as world:
        yield world.http


async def of_theirs(world: World) -> dict[str, list[str]]:
    """One of everything that an app can own, by where its name stands in a path."""
    theirs = await new_key(world, "theirs", *SCOPES[:3])
    sub = (await world.api("POST", "/v1/subscriptions", {"target": "https://theirs.test/"}, key=theirs)).json()["id"]
    task = (await world.api("POST", "/v1/tasks?dry_run=false", BODIES["OrderIn"], key=theirs, Prefer="wait=0")).json()["id"]
    await world.send()
    deliveries = (await world.api("GET", "/v1/deliveries", key=theirs)).json()["data"]
    assert deliveries, "it owns a delivery too"
    return {"tasks": [task], "subscriptions": [sub], "deliveries": [deliveries[0]["id"]]}


async def test_no_app_reaches_anything_of_another_by_any_route(world: World) -> None:
    for app in ("theirs", "ours"):
        assert (await world.api("POST", "/v1/apps", {"id": app})).status_code == 201
    theirs = await of_theirs(world)
    ours = await new_key(world, "ours", *SCOPES[:3])
    every_name = [name for names in theirs.values() for name in names]
    before = [tuple(r) for r in await world.rows("SELECT id, version, status, label FROM subscription ORDER BY id")]
    reached = []
    for e in ENDPOINTS:
        if "{" not in e.path or e.scope == "admin":
            continue
        for name in every_name:
            path = re.sub(r"{\w+}", name, e.path)
            answer = await world.api(e.method, path, body_of(e), key=ours, Prefer="wait=0")
            if answer.status_code != 404:
                reached.append((name_of(e), answer.status_code))
    assert reached == []
    for e in ENDPOINTS:
        if e.method == "GET" and "{" not in e.path and e.scope != "admin":
            text = (await world.api("GET", e.path, key=ours)).text
            assert not [name for name in every_name if name in text], name_of(e)
    for query in (f"task={theirs['tasks'][0]}", f"subscription={theirs['subscriptions'][0]}"):
        assert (await world.api("GET", f"/v1/deliveries?{query}", key=ours)).json()["data"] == []
    assert before == [tuple(r) for r in await world.rows("SELECT id, version, status, label FROM subscription ORDER BY id")]


async def test_the_operator_acts_for_the_app_he_names(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "theirs"})
    made = await world.api("POST", "/v1/subscriptions", {"target": "https://theirs.test/"}, Callsheet_App="theirs")
    assert made.status_code == 201
    assert (await world.api("GET", "/v1/subscriptions")).json()["data"] == []
    assert len((await world.api("GET", "/v1/subscriptions", Callsheet_App="theirs")).json()["data"]) == 1


@pytest.mark.parametrize("app", ["nobody", "Theirs", "\x7f", "x" * 300])
async def test_an_app_that_does_not_exist_is_named(world: World, app: str) -> None:
    answer = await world.api("GET", "/v1/tasks", Callsheet_App=app)
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/not-found")


async def test_only_the_operator_is_listened_to_about_other_apps(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "theirs"})
    key = await new_key(world, "default", "read", "manage")
    await world.api("POST", "/v1/subscriptions", {"target": "https://mine.test/"}, key=key, Callsheet_App="theirs")
    assert (await world.api("GET", "/v1/subscriptions", Callsheet_App="theirs")).json()["data"] == []


# --- apps and keys ---


async def test_a_key_is_shown_once_and_kept_as_a_digest(world: World) -> None:
    made = (await world.api("POST", "/v1/apps/default/keys", {"scopes": ["read"], "label": "ci"})).json()
    assert made["key"].startswith(made["prefix"])
    [listed] = (await world.api("GET", "/v1/apps/default/keys")).json()["data"]
    assert "key" not in listed
    assert (listed["scopes"], listed["label"], listed["revoked_at"]) == (["read"], "ci", None)
    [row] = await world.rows("SELECT * FROM api_key")
    assert made["key"] not in repr(tuple(row))


async def test_a_revoked_key_opens_nothing_any_more(world: World) -> None:
    made = (await world.api("POST", "/v1/apps/default/keys", {"scopes": ["read"]})).json()
    assert (await world.api("GET", "/v1/tasks", key=made["key"])).status_code == 200
    assert (await world.api("DELETE", f"/v1/apps/default/keys/{made['id']}")).status_code == 204
    assert (await world.api("GET", "/v1/tasks", key=made["key"])).status_code == 401
    assert (await world.api("DELETE", f"/v1/apps/default/keys/{made['id']}")).status_code == 404


async def test_a_key_that_was_revoked_elsewhere_works_for_seconds_only(world: World) -> None:
    made = (await world.api("POST", "/v1/apps/default/keys", {"scopes": ["read"]})).json()
    assert (await world.api("GET", "/v1/tasks", key=made["key"])).status_code == 200
    await world.db.write(lambda tx: tx.sql.exec_driver_sql("UPDATE api_key SET revoked_at = 1"))
    world.now += KNOWN_MS + 1
    assert (await world.api("GET", "/v1/tasks", key=made["key"])).status_code == 401


async def test_only_the_operators_app_may_have_admin_keys(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "theirs"})
    refused = await world.api("POST", "/v1/apps/theirs/keys", {"scopes": ["admin"]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "scopes")
    assert (await world.api("GET", "/v1/apps", key=await new_key(world, "default", "admin"))).status_code == 200


async def test_an_app_is_made_once_and_shows_its_secret_once(world: World) -> None:
    made = await world.api("POST", "/v1/apps", {"id": "theirs", "label": "Them", "weight": 3})
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert (await world.api("POST", "/v1/apps", {"id": "theirs"})).status_code == 409
    apps = (await world.api("GET", "/v1/apps")).json()["data"]
    assert [(a["id"], a["label"], a["weight"]) for a in apps] == [("default", "", 1), ("theirs", "Them", 3)]
    assert "secret" not in apps[1]
    again = (await world.api("POST", "/v1/apps/theirs/rotate")).json()["secret"]
    assert again != made.json()["secret"]


@pytest.mark.parametrize(
    "path", ["/v1/apps/nobody/keys", "/v1/apps/%00/keys", "/v1/apps/%F0%9F%A6%86/keys", "/v1/apps/%ff/keys"]
)
async def test_keys_of_an_app_that_does_not_exist_are_not_found(world: World, path: str) -> None:
    assert (await world.api("GET", path)).status_code == 404
    assert (await world.api("POST", path, {})).status_code == 404


def test_every_shape_of_a_body_has_a_good_example_here() -> None:
    for e in ENDPOINTS:
        if e.body is not None:
            e.body.model_validate(BODIES[e.body.__name__])
