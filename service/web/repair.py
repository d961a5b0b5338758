"""Long work over HTTP: recover what was not told, forget what was personal, re-encrypt what is sealed; and the public keys
that verify notices."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain import ids
from service.domain.errors import BadOrder, Fault, NotFound
from service.domain.instant import maybe, rfc3339
from service.domain.task import view
from service.flow import forget, recover, reencrypt, subscribe
from service.flow.record import fragment
from service.parts import Parts
from service.signing import jwks
from service.store import jobs, subscriptions
from service.store.apps import DEFAULT_APP
from service.web import answers
from service.web.endpoints import Call, Endpoint
from service.web.replies import Anything, ListOut, TaskOut
from service.web.shapes import NoQuery, Nothing, Page, RecoverIn

KEYS_CACHED = "public, max-age=300"
"""Seconds; a rotated key signs beside the old one for a day, so nobody is caught between."""


def job_shown(row: Any) -> dict[str, Any]:
    return {
        "id": ids.encode(ids.JOB, row.id),
        "object": "job",
        "kind": row.kind,
        "state": row.state,
        "reason": row.reason,
        "subscription": None if row.subscription_id is None else ids.encode(ids.SUBSCRIPTION, row.subscription_id),
        "seen": row.seen,
        "done": row.done,
        "created_at": rfc3339(row.created_at),
        "ended_at": maybe(row.ended_at),
    }


async def start_recovery(call: Call) -> Response:
    body: RecoverIn = call.body
    since = answers.instant("since", body.since)
    assert since is not None
    if since > call.parts.clock():
        raise BadOrder("there is nothing to recover", [Fault("since", "lies in the future")])
    row = await recover.start(call.parts, call.app_id, _subscription(call), since)
    return answers.json(job_shown(row), 202, {"Location": f"{call.parts.public_url}/v1/jobs/{ids.encode(ids.JOB, row.id)}"})


async def recovery(call: Call) -> Response:
    """The last one of this subscription."""
    sub = await subscribe.get(call.parts, call.app_id, _subscription(call))
    return _job(await call.parts.db.read(lambda sql: jobs.latest_of(sql, sub.id)))


async def job(call: Call) -> Response:
    job_id = answers.id_of(ids.JOB, call.path["id"], "job")
    return _job(await call.parts.db.read(lambda sql: jobs.by_id(sql, call.app_id, job_id)))


async def jobs_listed(call: Call) -> Response:
    q: Page = call.query
    before = answers.from_cursor(q.cursor)
    rows = await call.parts.db.read(lambda sql: jobs.page(sql, call.app_id, before, q.limit + 1))
    query = call.request.query_params.multi_items()
    return answers.page(rows, q.limit, "/v1/jobs", job_shown, lambda r: answers.cursor(r.id), query)


async def forget_task(call: Call) -> Response:
    task_id = answers.id_of(ids.TASK, call.path["id"], "task")
    task = await forget.forget_task(call.parts, call.app_id, task_id)
    return Response(orjson.dumps(view(task, call.parts.public_url, fragment)), media_type="application/json")


async def forget_app(call: Call) -> Response:
    return answers.json(job_shown(await forget.forget_app(call.parts, call.path["id"])), 202)


async def start_reencryption(call: Call) -> Response:
    row = await reencrypt.start(call.parts)
    return answers.json(job_shown(row), 202, {"Location": f"{call.parts.public_url}/v1/jobs/{ids.encode(ids.JOB, row.id)}"})


def _subscription(call: Call) -> int:
    return answers.id_of(ids.SUBSCRIPTION, call.path["id"], "subscription")


def _job(row: Any) -> Response:
    if row is None:
        raise NotFound("there is no such job")
    return answers.json(job_shown(row))


def well_known(parts: Parts) -> list[Route]:
    """`/.well-known/jwks.json` of the default app, `/.well-known/{app}/jwks.json` of any: public, and no secret. An app
    that does not exist has no keys, like one that needs none."""

    async def keys(request: Request) -> Response:
        app_id = request.path_params.get("app", DEFAULT_APP)
        known = await parts.db.read(lambda sql: subscriptions.publics(sql, app_id))
        now = parts.clock()
        live = [key for text in known for key, until in orjson.loads(text) if until is None or now < until]
        return answers.json(jwks(live), headers={"Cache-Control": KEYS_CACHED})

    return [Route("/.well-known/jwks.json", keys), Route("/.well-known/{app}/jwks.json", keys)]


_RECOVER = "/v1/subscriptions/{id}/recover"
ENDPOINTS = (
    Endpoint(
        "POST", _RECOVER, "manage", "Send again all that did not arrive", start_recovery, RecoverIn, answer=Anything, status=202
    ),
    Endpoint("GET", _RECOVER, "read", "How far its last recovery is", recovery, answer=Anything),
    Endpoint("GET", "/v1/jobs", "read", "List long work, newest first", jobs_listed, None, Page, ListOut),
    Endpoint("GET", "/v1/jobs/{id}", "read", "How far it is", job, None, NoQuery, Anything),
    Endpoint(
        "POST", "/v1/tasks/{id}/forget", "manage", "Erase its personal content for good", forget_task, Nothing, answer=TaskOut
    ),
    Endpoint(
        "POST",
        "/v1/keys/reencrypt",
        "admin",
        "Seal everything that is kept encrypted with the newest key: a job of the app `default`",
        start_reencryption,
        Nothing,
        answer=Anything,
        status=202,
    ),
    Endpoint(
        "POST", "/v1/apps/{id}/forget", "admin", "Erase that of all its tasks", forget_app, Nothing, answer=Anything, status=202
    ),
)
