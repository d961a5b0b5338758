"""What became of one task, over HTTP: everything that happened to it, and why it is where it is."""

from typing import Any

import orjson
from starlette.responses import Response

from service.domain import ids
from service.domain.instant import maybe, rfc3339
from service.flow.explanation import explanation
from service.store import journal, outbox, tasks
from service.web import answers
from service.web.endpoints import Call, Endpoint
from service.web.replies import Anything
from service.web.tasks import task_of

SHOWN_BODY = 4_000
"""Characters of a kept callback body in a timeline."""


async def timeline(call: Call) -> Response:
    """Everything that happened to one task, oldest first."""
    task = await task_of(call)
    entries: list[tuple[int, int, dict[str, Any]]] = [(task.created_at, 0, {"type": "order", "model": task.model})]

    def look(sql: Any) -> None:
        for sub in tasks.submissions(sql, call.app_id, task.id):
            entry = {
                "type": "submission",
                "submission": ids.encode(ids.SUBMISSION, sub.id),
                "number": sub.number,
                "provider": sub.provider,
                "account": sub.account,
                "outcome": str(sub.outcome),
                "reason": sub.reason,
                "remote_id": sub.remote_id,
                "answered_at": maybe(sub.answered_at),
            }
            entries.append((sub.sent_at, 1, entry))
        for row in journal.receipts(sql, call.app_id, task.id):
            body = None if row.body is None else bytes(row.body).decode("utf-8", "replace")[:SHOWN_BODY]
            what = "callback" if row.source == "callback" else "poll"
            entry = {"type": what, "provider": row.provider, "verdict": row.verdict, "status": row.word, "body": body}
            entries.append((row.at, 2, entry))
        for row in journal.events_of(sql, call.app_id, task.id):
            what = "event" if row.sequence is None else "transition"
            entry = {"type": what, "event": row.type, "sequence": row.sequence, "state": row.state, "source": row.source}
            entry["previous_state"] = row.previous
            if row.sequence is None:
                entry["message"] = orjson.loads(bytes(row.body))["data"].get("message")
            entries.append((row.at, 3, entry))
        told = outbox.of_task(sql, call.app_id, task.id)
        by_id = {row.id: row for row in told}
        for row in told:
            entry = {"type": "delivery", "delivery": ids.encode(ids.DELIVERY, row.id), "event": row.type, "state": row.state}
            entry["subscription"] = ids.encode(ids.SUBSCRIPTION, row.subscription_id)
            entries.append((row.created_at, 4, entry))
        for row in outbox.attempts(sql, list(by_id)):
            entry = {"type": "attempt", "delivery": ids.encode(ids.DELIVERY, row.delivery_id), "number": row.number}
            entry |= {"event": by_id[row.delivery_id].type, "outcome": row.outcome, "status": row.status, "error": row.error}
            entries.append((row.at, 5, entry | {"elapsed_ms": row.elapsed_ms}))

    await call.parts.db.read(look)
    entries.sort(key=lambda e: e[:2])
    data = [{"at": rfc3339(at), **entry} for at, _, entry in entries]
    polls = {"asked": task.polls, "next_look_at": maybe(task.poll_at)}
    return answers.json(
        {"object": "timeline", "task": ids.encode(ids.TASK, task.id), "state": task.state, "polls": polls, "data": data}
    )


async def explained(call: Call) -> Response:
    """Why it is where it is, and what happens next."""
    task, told, queue = await explanation(call.parts, call.app_id, answers.id_of(ids.TASK, call.path["id"], "task"))
    body: dict[str, Any] = {"object": "explanation", "task": ids.encode(ids.TASK, task.id), "state": task.state}
    body |= {"code": told.code, "why": told.why, "next": told.next, "next_at": maybe(told.next_at)}
    body["queue"] = None
    if queue is not None:
        body["queue"] = {"place": queue.place, "estimate_s": None if queue.wait_s is None else round(queue.wait_s, 1)}
    return answers.json(body)


ENDPOINTS = (
    Endpoint(
        "GET", "/v1/tasks/{id}/explain", "read", "Why it is where it is, and what happens next", explained, answer=Anything
    ),
    Endpoint(
        "GET", "/v1/tasks/{id}/timeline", "read", "Everything that happened to it, oldest first", timeline, answer=Anything
    ),
)
