"""Two apps that own one of everything, and every name of the one in the hands of the other, by every route there is.

The table is the routes themselves: a new one is in it by itself, and a kind of thing that nobody owns here fails the test.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from service.domain import ids
from service.store.tables import TABLES
from service.web.endpoints import Endpoint
from service.web.guard import SCOPES
from service.web.site import ENDPOINTS
from tests.web.listening import serving
from tests.web.test_guard import BODIES, body_of, name_of, new_key
from tests.world import ADMIN, World

pytestmark = pytest.mark.anyio

OWN_KINDS = {"tasks": ids.TASK, "subscriptions": ids.SUBSCRIPTION, "deliveries": ids.DELIVERY, "jobs": ids.JOB}
"""What stands behind a name in a path, by the collection it is in."""
CROSSED = [e for e in ENDPOINTS if "{" in e.path and e.scope != "admin"]
LISTS = [e for e in ENDPOINTS if e.method == "GET" and "{" not in e.path and e.scope != "admin"]


@dataclass(frozen=True, slots=True)
class Tenant:
    app: str
    key: str
    key_name: str
    names: Mapping[str, str]
    """One of everything that it owns, by its prefix."""
    events: list[str]
    cursor: str
    words: tuple[str, ...]
    """Its own, of which no other may ever read one."""


async def tenant(world: World, app: str) -> Tenant:
    assert (await world.api("POST", "/v1/apps", {"id": app}, key=ADMIN)).status_code == 201
    key = await new_key(world, app, *SCOPES[:3])
    words = (f"prompt-of-{app}", f"label-of-{app}", f"{app}.test", f"own-{app}.test")
    sub = (await world.api("POST", "/v1/subscriptions", {"target": f"https://{app}.test/", "label": words[1]}, key=key)).json()
    order = BODIES["OrderIn"] | {"prompt": words[0], "callback_url": f"https://own-{app}.test/", "metadata": {"of": app}}
    task = (await world.api("POST", "/v1/tasks", order, key=key, Prefer="wait=0", Idempotency_Key="the-same")).json()
    await world.send()
    await world.callback("succeeded")
    await world.deliver()
    since = {"since": "2026-01-01T00:00:00Z"}
    job = (await world.api("POST", f"/v1/subscriptions/{sub['id']}/recover", since, key=key)).json()
    delivery = (await world.api("GET", "/v1/deliveries", key=key)).json()["data"][0]
    feed = (await world.api("GET", "/v1/events", key=key)).json()
    [own] = (await world.api("GET", f"/v1/apps/{app}/keys", key=ADMIN)).json()["data"]
    names = {ids.TASK: task["id"], ids.SUBSCRIPTION: sub["id"], ids.DELIVERY: delivery["id"], ids.JOB: job["id"]}
    return Tenant(app, key, own["id"], names, [e["id"] for e in feed["data"]], feed["next"], words)


@pytest.fixture
async def two(world: World) -> tuple[Tenant, Tenant]:
    return await tenant(world, "ours"), await tenant(world, "theirs")


async def rows_of(world: World, app: str) -> list[Any]:
    """Everything that the database holds of an app; a read may not change it, and nobody else's write may either."""
    owned = [name for name, table in TABLES.items() if "app_id" in table.c]
    return [
        sorted(map(repr, map(tuple, await world.rows(f"SELECT * FROM {name} WHERE app_id = :app", app=app)))) for name in owned
    ]


def shows(text: str, other: Tenant) -> list[str]:
    return [word for word in (*other.names.values(), *other.words, *other.events, other.key_name) if word in text]


def test_every_name_in_a_path_is_of_a_kind_that_both_apps_own_here() -> None:
    assert {e.path.split("/")[2] for e in CROSSED} <= OWN_KINDS.keys(), "give the tenants one of the new kind"
    assert all(e.path.count("{") == 1 for e in CROSSED)


async def test_every_route_with_a_name_in_it_says_404_of_every_name_of_another(
    world: World, two: tuple[Tenant, Tenant]
) -> None:
    for ours, theirs in (two, two[::-1]):
        before = await rows_of(world, theirs.app)
        wrong = []
        for e in CROSSED:
            for name in (*theirs.names.values(), theirs.key_name, *theirs.events[:1], theirs.app):
                path = re.sub(r"{\w+}", name, e.path)
                answer = await world.api(e.method, path, body_of(e), key=ours.key, Prefer="wait=0")
                if answer.status_code != 404 or shows(answer.text, theirs):
                    wrong.append((name_of(e), name[:5], answer.status_code))
        assert wrong == []
        assert await rows_of(world, theirs.app) == before


async def test_the_same_routes_know_the_names_of_their_owner(world: World, two: tuple[Tenant, Tenant]) -> None:
    """Without this the table above could be all 404 for any other reason."""
    ours, _ = two
    for e in CROSSED:
        name = ours.names[OWN_KINDS[e.path.split("/")[2]]]
        if e.method == "GET":
            path = re.sub(r"{\w+}", name, e.path)
            assert (await world.api("GET", path, key=ours.key)).status_code == 200, name_of(e)


async def test_no_list_shows_a_row_of_another_with_whatever_cursor_or_filter(world: World, two: tuple[Tenant, Tenant]) -> None:
    ours, theirs = two
    task, sub = theirs.names[ids.TASK], theirs.names[ids.SUBSCRIPTION]
    queries: dict[str, list[str]] = {
        "/v1/events": [f"cursor={theirs.cursor}"],
        "/v1/tasks": ["metadata.of=theirs"],
        "/v1/deliveries": [f"task={task}", f"subscription={sub}"],
    }
    for e in LISTS:
        page = await world.api("GET", f"{e.path}?limit=1" if e.path != "/v1/providers" else e.path, key=theirs.key)
        more = [f"cursor={page.json()['next']}"] if page.json()["next"] else []
        for query in ("", *more, *queries.get(e.path, [])):
            answer = await world.api("GET", f"{e.path}?{query}", key=ours.key)
            assert answer.status_code == 200, (name_of(e), query)
            assert shows(answer.text, theirs) == [], (name_of(e), query)


async def test_a_key_reaches_no_admin_route_and_an_admin_route_no_key_of_another_app(
    world: World, two: tuple[Tenant, Tenant]
) -> None:
    ours, theirs = two
    for e in ENDPOINTS:
        if e.scope == "admin":
            path = e.path.replace("{id}", theirs.app).replace("{key}", theirs.key_name)
            assert (await world.api(e.method, path, body_of(e), key=ours.key)).status_code == 403, name_of(e)
    crossed = await world.api("DELETE", f"/v1/apps/{ours.app}/keys/{theirs.key_name}", key=ADMIN)
    assert crossed.status_code == 404
    assert (await world.api("GET", "/v1/tasks", key=theirs.key)).status_code == 200


async def test_one_idempotency_key_in_two_apps_is_two_orders(world: World, two: tuple[Tenant, Tenant]) -> None:
    ours, theirs = two
    assert ours.names[ids.TASK] != theirs.names[ids.TASK], "both were ordered under the same key"
    assert world.creates == 2


async def test_no_subscriber_hears_of_the_tasks_of_another(world: World, two: tuple[Tenant, Tenant]) -> None:
    for ours, theirs in (two, two[::-1]):
        heard = b"".join(said.body for said in world.said if said.host in ours.words)
        assert ours.names[ids.TASK].encode() in heard
        assert shows(heard.decode(), theirs) == []


async def test_a_live_reader_hears_its_own_app_from_wherever_it_says_it_was(world: World, two: tuple[Tenant, Tenant]) -> None:
    ours, theirs = two
    beginning = (await world.api("GET", "/v1/events?limit=1", key=ours.key)).json()["data"][0]["cursor"]
    async with serving(world) as server:
        blind = await new_key(world, ours.app, "submit", "manage")
        assert (await server.ear(key=blind, app=ours.app)).status == 403, "reading is a scope here too"
        for after in ("", beginning, theirs.cursor):
            # Whoever names another app in a header is still who his key says.
            ear = await server.ear(key=ours.key, app=theirs.app, after=after)
            await world.api("POST", f"/v1/subscriptions/{theirs.names[ids.SUBSCRIPTION]}/test", {}, key=theirs.key)
            await world.api("POST", f"/v1/subscriptions/{ours.names[ids.SUBSCRIPTION]}/test", {}, key=ours.key)
            heard = ""
            while ours.names[ids.SUBSCRIPTION] not in heard:
                heard += (await ear.event()).data.decode()
            assert shows(heard, theirs) == []
            ear.kill()


def test_every_route_belongs_to_a_scope_and_the_matrix_is_not_empty() -> None:
    routes: list[Endpoint] = list(ENDPOINTS)
    assert {e.scope for e in routes} == set(SCOPES)
    assert len(CROSSED) > 15
    assert len(LISTS) >= 5
