"""Tasks over HTTP: order, list, look, and have something done about one."""

from collections.abc import Mapping
from functools import partial
from hashlib import blake2b
from typing import Any

import orjson
from starlette.responses import Response

from service.domain import ids
from service.domain.errors import BadOrder, Fault, NotFound
from service.domain.ids import first_id_at
from service.domain.lifecycle import SETTLED, State
from service.domain.order import Order
from service.domain.task import Task, view
from service.flow import ask, cancel, resolve, submit
from service.flow.record import fragment
from service.parts import Parts
from service.store import tasks
from service.web import answers
from service.web.endpoints import Call, Endpoint, prefer_wait_s
from service.web.replies import DryRunOut, ListOut, TaskOut
from service.web.shapes import NoQuery, Nothing, OrderIn, ResolveIn, SubmitQuery, TaskPage

ORDER_LIMIT = 64 * 1024 * 1024
"""Bytes: what Ark itself takes, inline pictures included."""
WORD_S = 5.0
"""How long the answer to an order waits for the provider's word."""
SLICE_S = 1.0
"""Another process may have brought the change: look at the database this often while waiting."""
KEY_LIMIT = 255
LABELS_LIMIT = 20
"""As many as an order may carry."""


async def create(call: Call) -> Response:
    order = Order.of(call.body.model_dump(exclude_none=True))
    if call.query.dry_run:
        checked = submit.check(call.parts, order)
        desk = checked.desks[0]
        return answers.json(
            {
                "object": "dry_run",
                "valid": True,
                "provider": desk.account.provider,
                "estimate": submit.estimate(call.parts, checked),
                "warnings": list(checked.warnings),
            }
        )
    key = call.request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= KEY_LIMIT and key.isprintable() and key.isascii()):
        raise BadOrder("the Idempotency-Key cannot be used", [Fault("Idempotency-Key", "1 to 255 printable ASCII characters")])
    placed = await submit.place_order(call.parts, call.app_id, order, key)
    wait_s = prefer_wait_s(call.request)
    task = placed.task
    assert task is not None, "place_order raised otherwise"
    if wait_s is not None:
        task = await _until(call.parts, task, wait_s, lambda t: t.state in SETTLED)
    else:
        task = await _until(call.parts, task, WORD_S, _has_word)
    headers = {"Location": view(task, call.parts.public_url, fragment)["url"]}
    if placed.replayed:
        headers["Idempotent-Replayed"] = "true"
    if wait_s is not None:
        headers["Preference-Applied"] = f"wait={wait_s}"
    return _shown(call.parts, task, 201, headers)


def _has_word(task: Task) -> bool:
    """The provider has answered the order, or has had the chance to."""
    return task.state is not State.CREATED or task.submission_id is None or task.reason is not None


async def _until(parts: Parts, task: Task, wait_s: float, enough: Any) -> Task:
    end = parts.clock() + int(wait_s * 1000)
    while not enough(task) and not parts.watch.closed:
        left_s = (end - parts.clock()) / 1000
        if left_s <= 0:
            return task
        changed = await parts.watch.wait(task.id, min(left_s, SLICE_S))
        if changed is not None:
            task = changed
        else:
            seen: Task | None = await parts.db.read(partial(tasks.by_id, app_id=task.app_id, task_id=task.id))
            task = seen or task
    return task


async def show(call: Call) -> Response:
    task = await task_of(call)
    wait_s = prefer_wait_s(call.request)
    if wait_s is not None and task.state not in SETTLED:
        seen = (task.sequence, task.reason)
        task = await _until(call.parts, task, wait_s, lambda t: (t.sequence, t.reason) != seen)
    shown = _shown(call.parts, task, 200)
    tag = shown.headers["ETag"]
    seen_tags = {part.strip().removeprefix("W/") for part in call.request.headers.get("if-none-match", "").split(",")}
    if seen_tags & {tag, "*"}:
        return Response(status_code=304, headers={"ETag": tag})
    return shown


async def listed(call: Call) -> Response:
    q: TaskPage = call.query
    states = tuple(s for s in (q.state or "").split(",") if s)
    unknown = [s for s in states if s not in list(State)]
    if unknown:
        raise BadOrder("the filter cannot be understood", [Fault("state", f"{unknown[0]!r} is none of {', '.join(State)}")])
    labels = [(k.removeprefix("metadata."), v) for k, v in call.request.query_params.multi_items() if k.startswith("metadata.")]
    if len(labels) > LABELS_LIMIT or any(not name for name, _ in labels):
        raise BadOrder(
            "the filter cannot be understood", [Fault("metadata", f"1 to {LABELS_LIMIT} as metadata.<name>=<value>")]
        )
    before = answers.from_cursor(q.cursor)
    until = answers.instant("created_before", q.created_before)
    if until is not None:
        before = first_id_at(until) if before is None else min(before, first_id_at(until))
    after = answers.instant("created_after", q.created_after)
    rows = await call.parts.db.read(
        lambda sql: tasks.page(
            sql,
            call.app_id,
            before_id=before,
            limit=q.limit + 1,
            states=states,
            model=q.model,
            provider=q.provider,
            from_id=None if after is None else first_id_at(after),
            labels=labels,
        )
    )
    show_one = lambda task: view(task, call.parts.public_url, fragment)  # noqa: E731 (a name for one expression)
    query = call.request.query_params.multi_items()
    return answers.page(rows, q.limit, "/v1/tasks", show_one, lambda t: answers.cursor(t.id), query)


async def cancelled(call: Call) -> Response:
    task = await cancel.cancel(call.parts, call.app_id, answers.id_of(ids.TASK, call.path["id"], "task"))
    return _shown(call.parts, task, 200)


async def asked(call: Call) -> Response:
    """`Retry-After`: its account is left alone, and nobody is asked before then."""
    task = await ask.ask(call.parts, call.app_id, answers.id_of(ids.TASK, call.path["id"], "task"))
    desk = call.parts.accounts.get(task.provider or "", task.account or "")
    until = None if desk is None else await ask.quiet_until(call.parts, desk)
    wait = {} if until is None else {"Retry-After": str(-(-(until - call.parts.clock()) // 1_000))}
    return _shown(call.parts, task, 202, wait)


async def resolved(call: Call) -> Response:
    body: ResolveIn = call.body
    task_id = answers.id_of(ids.TASK, call.path["id"], "task")
    task = await resolve.resolve(call.parts, call.app_id, task_id, body.remote_id)
    return _shown(call.parts, task, 200)


async def task_of(call: Call) -> Task:
    task_id = answers.id_of(ids.TASK, call.path["id"], "task")
    task = await call.parts.db.read(lambda sql: tasks.by_id(sql, call.app_id, task_id))
    if task is None:
        raise NotFound("there is no such task")
    return task


def _shown(parts: Parts, task: Task, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Its tag is made from what is shown: whatever of it may change one day changes the tag too."""
    body = orjson.dumps(view(task, parts.public_url, fragment))
    tag = '"' + blake2b(body, digest_size=9).hexdigest() + '"'
    return Response(body, status, {**(headers or {}), "ETag": tag}, "application/json")


_WAIT = ("Prefer", "wait=N, at most 60 seconds")
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/tasks",
        "submit",
        "Order a video",
        create,
        OrderIn,
        SubmitQuery,
        TaskOut,
        201,
        ORDER_LIMIT,
        headers=(("Idempotency-Key", "same key and body within 7 days: the same task"), _WAIT),
        also=((200, DryRunOut, "With `dry_run`: what would become of it"),),
    ),
    Endpoint("GET", "/v1/tasks", "read", "List tasks, newest first", listed, None, TaskPage, ListOut, free_query="metadata."),
    Endpoint(
        "GET",
        "/v1/tasks/{id}",
        "read",
        "One task; waits for its next change if asked to",
        show,
        None,
        NoQuery,
        TaskOut,
        headers=(_WAIT, ("If-None-Match", "an `ETag` that is known: 304 while it stands")),
        also=((304, None, "It is as it was"),),
    ),
    Endpoint(
        "POST",
        "/v1/tasks/{id}/cancel",
        "submit",
        "Cancel it: for free before it is placed, at the provider while it is queued there",
        cancelled,
        Nothing,
        answer=TaskOut,
    ),
    Endpoint(
        "POST",
        "/v1/tasks/{id}/ask",
        "submit",
        "Have its provider asked now how it stands",
        asked,
        Nothing,
        answer=TaskOut,
        status=202,
        about="The answer is the task as it waits to be asked about: that happens in a moment, within the limits of the "
        "provider's account, and `Prefer: wait` on the task shows what came of it. An order whose answer got lost is looked "
        "for in the provider's list. 409 with the reason where nobody can be asked: it has ended, it waits to be placed, it is "
        "on its way, or its provider has no list.",
    ),
    Endpoint(
        "POST",
        "/v1/tasks/{id}/resolve",
        "manage",
        "Say what became of an order whose answer got lost",
        resolved,
        ResolveIn,
        answer=TaskOut,
    ),
)
