"""The feed: everything that happened, in the order of commits, as pages. Cursors are places in that order."""

import orjson
from starlette.responses import Response

from service.domain import ids
from service.domain.errors import BadOrder, Fault
from service.domain.instant import rfc3339
from service.store import journal
from service.web import answers
from service.web.endpoints import Call, Endpoint
from service.web.replies import ListOut
from service.web.shapes import Page

PATH = "/v1/events"
_PLACE = "at"


def place(xact: int, event_id: int) -> str:
    return f"{ids.encode(_PLACE, xact)}.{ids.encode(_PLACE, event_id)}"


def from_place(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 0
    first, _, second = text.partition(".")
    xact, event_id = ids.decode(_PLACE, first), ids.decode(_PLACE, second)
    if xact is None or event_id is None:
        raise BadOrder("the cursor is not one of ours", [Fault("cursor", "pass `next` of the page before as it is")])
    return xact, event_id


async def events(call: Call) -> Response:
    q: Page = call.query
    after = from_place(q.cursor)
    rows = await call.parts.db.read(lambda sql: journal.feed(sql, call.app_id, after, q.limit))
    data = [
        {
            "id": ids.encode(ids.EVENT, row.id),
            "type": row.type,
            "task": None if row.task_id is None else ids.encode(ids.TASK, row.task_id),
            "at": rfc3339(row.at),
            "cursor": place(row.xact, row.id),
            "notice": orjson.Fragment(bytes(row.body)),
        }
        for row in rows
    ]
    # Always a cursor: a reader at the end comes back with it, and gets what happened since.
    following = place(rows[-1].xact, rows[-1].id) if rows else place(*after)
    return answers.json({"object": "list", "data": data, "next": following})


ENDPOINTS = (
    Endpoint(
        "GET",
        PATH,
        "read",
        "What happened, oldest first; come back with `next`",
        events,
        None,
        Page,
        ListOut,
        headers=(("Last-Event-ID", "of a stream that broke off: it goes on after that event"),),
        streams="server-sent events from now on; `events=task.*` chooses, `cursor` goes back",
    ),
)
