"""Subscriptions and deliveries over HTTP."""

from functools import partial
from typing import Any

import orjson
from starlette.responses import Response

from service.domain import ids
from service.domain.errors import NotFound
from service.domain.ids import first_id_at
from service.domain.instant import maybe, rfc3339
from service.domain.turn import LOCKED, Expected
from service.flow import expect, retell, subscribe
from service.parts import Parts
from service.store import outbox, subscriptions
from service.web import answers
from service.web.endpoints import Call, Endpoint
from service.web.replies import Anything, ListOut
from service.web.shapes import DeliveryPage, NoQuery, Nothing, Page, SubscriptionIn, SubscriptionPatch


def shown(parts: Parts, row: Any) -> dict[str, Any]:
    locked = row.status == "active" and not parts.seal.opens(bytes(row.sealed))
    return {
        "id": ids.encode(ids.SUBSCRIPTION, row.id),
        "object": "subscription",
        "channel": row.channel,
        "target": row.target,
        "events": orjson.loads(row.events),
        "filter": orjson.loads(row.filter),
        "options": orjson.loads(row.options),
        "rate": row.rate,
        "concurrency": row.concurrency,
        "schedule": None if row.schedule is None else orjson.loads(row.schedule),
        "public_key": None if row.publics is None else orjson.loads(row.publics)[0][0],
        "label": row.label,
        "status": row.status,
        "reason": LOCKED if locked else row.reason,
        "status_at": rfc3339(row.status_at),
        "failing_since": maybe(row.failing_since),
        "created_at": rfc3339(row.created_at),
    }


async def create(call: Call) -> Response:
    body: SubscriptionIn = call.body
    row, secret = await subscribe.create(
        call.parts,
        call.app_id,
        channel=body.channel,
        url=body.target,
        events=body.events or (),
        chosen=body.filter.model_dump(exclude_none=True) if body.filter else {},
        headers=body.headers,
        options=body.options,
        rate=body.rate,
        concurrency=body.concurrency,
        schedule=body.schedule,
        label=body.label or "",
    )
    return answers.json(shown(call.parts, row) | ({"secret": secret} if secret else {}), 201)


async def listed(call: Call) -> Response:
    q: Page = call.query
    before = answers.from_cursor(q.cursor)
    rows = await call.parts.db.read(lambda sql: subscriptions.page(sql, call.app_id, before, q.limit + 1))
    query = call.request.query_params.multi_items()
    return answers.page(rows, q.limit, "/v1/subscriptions", partial(shown, call.parts), lambda r: answers.cursor(r.id), query)


def _id(call: Call) -> int:
    return answers.id_of(ids.SUBSCRIPTION, call.path["id"], "subscription")


async def show(call: Call) -> Response:
    return answers.json(shown(call.parts, await subscribe.get(call.parts, call.app_id, _id(call))))


async def change(call: Call) -> Response:
    changes = call.body.model_dump(exclude_unset=True, exclude_none=False)
    if changes.get("filter"):
        changes["filter"] = {k: v for k, v in changes["filter"].items() if v is not None}
    if changes.get("label", "") is None:
        changes["label"] = ""
    return answers.json(shown(call.parts, await subscribe.change(call.parts, call.app_id, _id(call), changes)))


async def remove(call: Call) -> Response:
    await subscribe.set_status(call.parts, call.app_id, _id(call), "deleted")
    return Response(status_code=204)


async def test(call: Call) -> Response:
    delivery_id, awaited = await retell.send_test(call.parts, call.app_id, _id(call))
    name = ids.encode(ids.DELIVERY, delivery_id)
    when = {"due_at": maybe(awaited.at), "reason": awaited.reason}
    url = f"{call.parts.public_url}/v1/deliveries/{name}"
    return answers.json({"object": "test", "delivery": name, "url": url} | when, 202)


async def rotate(call: Call) -> Response:
    row, key = await subscribe.rotate(call.parts, call.app_id, _id(call))
    return answers.json(shown(call.parts, row) | key)


async def pause(call: Call) -> Response:
    return answers.json(shown(call.parts, await subscribe.set_status(call.parts, call.app_id, _id(call), "paused")))


async def resume(call: Call) -> Response:
    return answers.json(shown(call.parts, await subscribe.set_status(call.parts, call.app_id, _id(call), "active")))


# --- deliveries ---


def delivery_shown(row: Any, attempts: list[Any], awaited: Expected | None) -> dict[str, Any]:
    awaited = awaited or Expected(row.due_at)
    return {
        "id": ids.encode(ids.DELIVERY, row.id),
        "object": "delivery",
        "state": row.state,
        "event": row.type,
        "task": None if row.task_id is None else ids.encode(ids.TASK, row.task_id),
        "sequence": row.sequence,
        "subscription": ids.encode(ids.SUBSCRIPTION, row.subscription_id),
        "created_at": rfc3339(row.created_at),
        "due_at": maybe(awaited.at),
        "reason": awaited.reason,
        "ended_at": maybe(row.ended_at),
        "attempts": [
            {
                "number": a.number,
                "at": rfc3339(a.at),
                "outcome": a.outcome,
                "status": a.status,
                "error": a.error,
                "elapsed_ms": a.elapsed_ms,
                "answer": None if a.answer is None else bytes(a.answer).decode("utf-8", "replace"),
            }
            for a in attempts
        ],
    }


async def deliveries_listed(call: Call) -> Response:
    q: DeliveryPage = call.query
    before = answers.from_cursor(q.cursor)
    after = answers.instant("created_after", q.created_after)
    subscription_id = None if q.subscription is None else answers.id_of(ids.SUBSCRIPTION, q.subscription, "subscription")
    task_id = None if q.task is None else answers.id_of(ids.TASK, q.task, "task")

    def look(sql: Any) -> tuple[list[Any], dict[int, list[Any]], dict[int, Expected]]:
        rows = outbox.page(
            sql,
            call.app_id,
            before_id=before,
            limit=q.limit + 1,
            state=q.state,
            subscription_id=subscription_id,
            task_id=task_id,
            from_id=None if after is None else first_id_at(after),
        )
        tried: dict[int, list[Any]] = {}
        for a in outbox.attempts(sql, [row.id for row in rows]):
            tried.setdefault(a.delivery_id, []).append(a)
        return rows, tried, expect.expectations(call.parts, sql, rows)

    rows, tried, awaited = await call.parts.db.read(look)
    query = call.request.query_params.multi_items()
    return answers.page(
        rows,
        q.limit,
        "/v1/deliveries",
        lambda r: delivery_shown(r, tried.get(r.id, []), awaited.get(r.id)),
        lambda r: answers.cursor(r.id),
        query,
    )


def _delivery_id(call: Call) -> int:
    return answers.id_of(ids.DELIVERY, call.path["id"], "delivery")


async def delivery(call: Call) -> Response:
    delivery_id = _delivery_id(call)

    def look(sql: Any) -> dict[str, Any] | None:
        row = outbox.delivery(sql, call.app_id, delivery_id)
        if row is None:
            return None
        awaited = expect.expectations(call.parts, sql, [row]).get(row.id)
        return delivery_shown(row, outbox.attempts(sql, [delivery_id]), awaited)

    found = await call.parts.db.read(look)
    if found is None:
        raise NotFound("there is no such delivery")
    return answers.json(found)


async def resend(call: Call) -> Response:
    """The same notice under the same name, now or as soon as may be: the answer says when, and what it waits for."""
    await retell.resend(call.parts, call.app_id, _delivery_id(call))
    return await delivery(call)


_ONE = "/v1/subscriptions/{id}"
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/subscriptions",
        "manage",
        "Subscribe; the secret is shown this once",
        create,
        SubscriptionIn,
        answer=Anything,
        status=201,
    ),
    Endpoint("GET", "/v1/subscriptions", "read", "List subscriptions", listed, None, Page, ListOut),
    Endpoint("GET", _ONE, "read", "One subscription", show, answer=Anything),
    Endpoint("PATCH", _ONE, "manage", "Change it", change, SubscriptionPatch, answer=Anything),
    Endpoint("DELETE", _ONE, "manage", "Remove it", remove, status=204),
    Endpoint("POST", f"{_ONE}/test", "manage", "Send a test notice", test, Nothing, answer=Anything, status=202),
    Endpoint(
        "POST", f"{_ONE}/rotate", "manage", "A new secret; the old one signs along for 24 h", rotate, Nothing, answer=Anything
    ),
    Endpoint("POST", f"{_ONE}/pause", "manage", "Stop and keep", pause, Nothing, answer=Anything),
    Endpoint("POST", f"{_ONE}/resume", "manage", "Go on, with what was kept", resume, Nothing, answer=Anything),
    Endpoint(
        "GET",
        "/v1/deliveries",
        "read",
        "List deliveries with their attempts, newest first",
        deliveries_listed,
        None,
        DeliveryPage,
        ListOut,
    ),
    Endpoint("GET", "/v1/deliveries/{id}", "read", "One delivery with its attempts", delivery, None, NoQuery, Anything),
    Endpoint("POST", "/v1/deliveries/{id}/resend", "manage", "Send it again, now", resend, Nothing, answer=Anything),
)
