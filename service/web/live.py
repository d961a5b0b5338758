"""The live feed: `GET /v1/events` with `Accept: text/event-stream`, server-sent events that resume by their id.

Raw ASGI: what a framework keeps for each response would be kept for hours, ten thousand times. Absent on purpose: who
gets what, and when; that is the hub's.
"""

import asyncio
from typing import Annotated

from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.domain.errors import BadOrder, Fault, Unavailable
from service.domain.matching import TEST_EVENT, possible
from service.parts import Parts
from service.store import journal
from service.web import feed
from service.web.endpoints import Call, Endpoint
from service.web.hub import Hub
from service.web.reader import Reader
from service.web.shapes import Shape, Short, Text

READERS_LIMIT = 20_000
"""About 220 MB when idle. Whoever comes then is told to come again."""
LIFE_S = 3_600.0
"""More or less a quarter: then a reader comes back with its key, and not all of them at once."""
RETRY_MS = 2_000
"""After a cut the client comes back, and not before."""


class LiveQuery(Shape):
    cursor: Short | None = None
    events: Annotated[Text, Field(max_length=1_000)] | None = None


def wanted(scope: Scope) -> bool:
    """This request asks for the stream and not for a page."""
    return (
        scope["type"] == "http"
        and scope["path"] == feed.PATH
        and scope["method"] == "GET"
        and any(name == b"accept" and b"text/event-stream" in value.lower() for name, value in scope["headers"])
    )


class Live:
    """The endpoint. Its answer is a stream."""

    def __init__(self, parts: Parts) -> None:
        self.hub = Hub(parts)
        self.endpoint = Endpoint("GET", feed.PATH, "read", "What happens, as it happens", self._open, query=LiveQuery)

    async def _open(self, call: Call) -> Response:
        if self.hub.closed:
            raise Unavailable("the service is stopping")
        if self.hub.reader_count >= READERS_LIMIT:
            raise Unavailable("too many live readers", retry_after_s=5)
        patterns = _patterns(call.query.events)
        given = call.request.headers.get("last-event-id") or call.query.cursor
        # Before the first byte: whatever happens once the client has seen our answer is after this place, also for a place
        # from the future, as after a backup was put back.
        end = await call.parts.db.read(journal.feed_end)
        place = min(feed.from_place(given), end) if given else end
        greeting = f"retry: {RETRY_MS}\nid: {feed.place(*place)}\n\n".encode()
        ends_at_s = asyncio.get_running_loop().time() + LIFE_S * (0.75 + 0.5 * call.parts.random())
        return Stream(self.hub, Reader(call.app_id, patterns, place, bool(given), greeting, ends_at_s))


class Stream(Response):
    """In place of a body. Nothing of a `Response` is used, so nothing of it is made."""

    status_code = 200

    def __init__(self, hub: Hub, reader: Reader) -> None:
        self._hub, self._reader = hub, reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._reader.begin(send, self._hub.catch_up)
        self._hub.add(self._reader)
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._hub.remove(self._reader)


def _patterns(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    patterns = tuple(sorted({part.strip() for part in text.split(",")}))
    unknown = [p for p in patterns if not possible(p) and p != TEST_EVENT]
    if unknown:
        raise BadOrder(
            "the filter cannot be understood", [Fault("events", f"no event is called {unknown[0]!r}; use e.g. task.*")]
        )
    return patterns
