"""Apps and keys over HTTP (operators), and what everybody may know about the providers."""

from typing import Any

from starlette.responses import Response

from service.domain import ids
from service.domain.errors import BadOrder, Conflict, Fault, NotFound
from service.domain.instant import maybe, rfc3339
from service.flow.health import provider_health
from service.signing import new_secret
from service.store import apps
from service.web import answers
from service.web.endpoints import Call, Endpoint
from service.web.guard import digest, new_key
from service.web.replies import Anything, ListOut
from service.web.shapes import AppIn, KeyIn, Nothing, Page


def _app(row: Any) -> dict[str, Any]:
    return {"id": row.id, "object": "app", "label": row.label, "weight": row.weight, "created_at": rfc3339(row.created_at)}


async def listed(call: Call) -> Response:
    q: Page = call.query
    rows = await call.parts.db.read(lambda sql: apps.apps(sql, q.cursor, q.limit + 1))
    return answers.page(rows, q.limit, "/v1/apps", _app, lambda r: r.id, call.request.query_params.multi_items())


async def create(call: Call) -> Response:
    body: AppIn = call.body
    secret = new_secret()
    sealed = call.parts.seal.seal(secret.encode())

    def act(tx: Any) -> Any:
        if apps.app(tx.sql, body.id) is not None:
            return None
        apps.add_app(tx, {"id": body.id, "label": body.label, "weight": body.weight, "sealed": sealed, "created_at": tx.now})
        return apps.app(tx.sql, body.id)

    row = await call.parts.db.write(act)
    if row is None:
        raise Conflict(f"there is an app {body.id!r} already")
    return answers.json(_app(row) | {"secret": secret}, 201)


async def rotate(call: Call) -> Response:
    """The secret that signs the notices of per-task callback URLs of orders from now on."""
    secret = new_secret()
    sealed = call.parts.seal.seal(secret.encode())
    app_id = call.path["id"]
    if not await call.parts.db.write(lambda tx: apps.change_secret(tx, app_id, sealed)):
        raise NotFound("there is no such app")
    return answers.json({"id": app_id, "object": "app", "secret": secret})


def _key(row: Any) -> dict[str, Any]:
    return {
        "id": ids.encode(ids.KEY, row.id),
        "object": "key",
        "app": row.app_id,
        "prefix": row.prefix,
        "scopes": row.scopes.split(","),
        "label": row.label,
        "created_at": rfc3339(row.created_at),
        "revoked_at": maybe(row.revoked_at),
    }


async def keys(call: Call) -> Response:
    app_id = await _existing(call)
    rows = await call.parts.db.read(lambda sql: apps.keys(sql, app_id))
    return answers.json({"object": "list", "data": [_key(row) for row in rows], "next": None})


async def create_key(call: Call) -> Response:
    app_id = await _existing(call)
    body: KeyIn = call.body
    if "admin" in body.scopes and app_id != "default":
        raise BadOrder(
            "the key cannot be made so", [Fault("scopes", "only the default app, the operator's, may have admin keys")]
        )
    key, prefix = new_key()

    def act(tx: Any) -> int:
        row = {
            "id": tx.ids.new(),
            "app_id": app_id,
            "prefix": prefix,
            "digest": digest(key),
            "scopes": ",".join(dict.fromkeys(body.scopes)),
            "label": body.label,
            "created_at": tx.now,
            "revoked_at": None,
        }
        apps.add_key(tx, row)
        key_id: int = row["id"]
        return key_id

    key_id = await call.parts.db.write(act)
    rows = await call.parts.db.read(lambda sql: apps.keys(sql, app_id))
    return answers.json(next(_key(row) for row in rows if row.id == key_id) | {"key": key}, 201)


async def revoke(call: Call) -> Response:
    app_id = await _existing(call)
    key_id = answers.id_of(ids.KEY, call.path["key"], "key")
    if not await call.parts.db.write(lambda tx: apps.revoke_key(tx, app_id, key_id)):
        raise NotFound("there is no such key, or it is revoked already")
    call.request.app.state.guard.forget()
    return Response(status_code=204)


async def _existing(call: Call) -> str:
    app_id = call.path["id"]
    if await call.parts.db.read(lambda sql: apps.app(sql, app_id)) is None:
        raise NotFound("there is no such app")
    return app_id


async def providers(call: Call) -> Response:
    """The configured accounts, how they are doing, and what is known of their gateways."""
    health = await provider_health(call.parts)
    data = []
    for key, desk in call.parts.accounts.desks.items():
        facts = desk.gateway.facts
        data.append(
            {
                "provider": desk.account.provider,
                "account": desk.account.name,
                "callbacks": str(desk.callbacks),
                "confirms_endings": desk.confirms,
                "cancels": facts.cancels,
                "batch": facts.batch,
                "caps": {"in_flight": desk.caps.in_flight, "per_minute": desk.caps.per_minute} if desk.caps else None,
                "health": health[key],
                "verified": list(facts.verified),
                "unverified": list(facts.unverified),
            }
        )
    return answers.json({"object": "list", "data": data, "next": None})


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/providers",
        "read",
        "The configured providers, and how they are doing",
        providers,
        answer=ListOut,
        about="Of `health`, what orders came to (accepted, rejected, busy, not_sent, unknown, unknown_healed) and what is open "
        "(unknown_open; in_flight, the orders that each account holds) is exact: it is stored with what it counts. "
        "Callbacks, questions and polls are stored every second: a process that is killed loses its last one.",
    ),
    Endpoint("GET", "/v1/apps", "admin", "List apps", listed, None, Page, ListOut),
    Endpoint(
        "POST", "/v1/apps", "admin", "Make an app; its secret is shown this once", create, AppIn, answer=Anything, status=201
    ),
    Endpoint(
        "POST", "/v1/apps/{id}/rotate", "admin", "A new secret for per-task callback URLs", rotate, Nothing, answer=Anything
    ),
    Endpoint("GET", "/v1/apps/{id}/keys", "admin", "List an app's keys", keys, answer=ListOut),
    Endpoint(
        "POST",
        "/v1/apps/{id}/keys",
        "admin",
        "Make a key; it is shown this once",
        create_key,
        KeyIn,
        answer=Anything,
        status=201,
    ),
    Endpoint("DELETE", "/v1/apps/{id}/keys/{key}", "admin", "Revoke a key", revoke, status=204),
)
