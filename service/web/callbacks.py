"""The callback door: `POST /callbacks/{provider}/{token}`, a raw ASGI application and the first thing that is tried.

A token that does not open for the provider in the path answers 404, whatever the reason. Behind an open door everything
is kept: even a body that nobody can read becomes a receipt, and makes us ask. 2xx only when it is durable; our own
trouble is 503, so that the provider tries again.

There are two ways to it. `__call__` is the application for any server. `knock` is the same without one: a server that has the
whole body hands it over and is told the status, now or after the commit, at half of what an application's cycle costs.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from service.domain.errors import Unavailable
from service.domain.news import Source
from service.flow.record import Arrival, Recorded, noticed, recording
from service.parts import Parts
from service.providers.registry import GATEWAYS
from service.store import apps
from service.web.bodies import SMALL, Bodies
from service.web.reach import ASKED, Reach
from service.wire import BODY_LIMIT

log = logging.getLogger("callsheet.callbacks")

PATH = "/callbacks/"
BODY_S = 5.0
"""For the whole body: Ark itself waits no longer for an answer."""
STORE_S = 4.0
"""For the commit: past it the provider has hung up, and its repetition finds us better."""

HIDDEN = b"(token)"
"""In place of our own token, wherever a body repeats it."""

ANSWERS: dict[int, bytes] = {
    200: b'{"ok":true}',
    404: b'{"title":"Not Found","status":404}',
    405: b'{"title":"Method Not Allowed","status":405}',
    408: b'{"title":"Request Timeout","status":408}',
    413: b'{"title":"Content Too Large","status":413}',
    503: b'{"title":"Service Unavailable","status":503}',
}
HEADERS: dict[int, list[tuple[bytes, bytes]]] = {
    status: [(b"content-type", b"application/json"), *more]
    for status, more in {
        200: [],
        404: [],
        405: [(b"allow", b"POST")],
        408: [(b"connection", b"close")],  # the rest of the body is not read
        413: [(b"connection", b"close")],
        503: [(b"retry-after", b"1")],
    }.items()
}


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    """The sender hung up before its body was here."""


class CallbackDoor:
    def __init__(self, parts: Parts, bodies: Bodies) -> None:
        self._parts, self._bodies = parts, bodies
        self._reach = Reach(parts.tokens, lambda: parts.db.read(apps.identity))

    def knock(self, provider: str, token: str, body: bytes, answer: Callable[[int], None]) -> bool:
        """A whole POST. `answer` is called once, with the status: at once, or when it is durable. False: not here."""
        if provider not in GATEWAYS or len(body) > SMALL:
            return False
        submission_id = self._opened(provider, token)
        if submission_id is None:
            answer(self._no(404))
        else:
            self._take(provider, token, submission_id, body, answer)
        return True

    def _take(self, provider: str, token: str, submission_id: int, body: bytes, answer: Callable[[int], None]) -> None:
        try:
            arrival = _arrival(provider, token, submission_id, body)
            committing = recording(self._parts, arrival, STORE_S)
        except Exception as error:
            answer(self._no(_failed(error)))
        else:
            committing.add_done_callback(lambda done: answer(self._status(arrival, done)))

    def _status(self, arrival: Arrival, done: "asyncio.Future[Recorded]") -> int:
        try:
            return 200 if noticed(self._parts, arrival, done.result()) else self._no(404)
        except asyncio.CancelledError:
            return self._no(503)
        except Exception as error:
            return self._no(_failed(error))

    def _no(self, status: int) -> int:
        self._parts.metrics.refused(str(status))
        return status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider, _, token = scope["path"][len(PATH) :].partition("/")
        proof: bytes | None = None
        try:
            proof = await self._reach.answer(token) if provider == ASKED else None
            status = 200 if proof is not None else await self._answer(scope, receive, provider, token)
        except _Gone:
            return
        except Exception as error:
            status = self._no(_failed(error))
        body = proof if proof is not None else ANSWERS[status]
        headers = [(b"content-length", str(len(body)).encode()), *HEADERS[status]]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, provider: str, token: str) -> int:
        submission_id = self._opened(provider, token)
        if submission_id is None:
            return self._no(404)
        if scope["method"] != "POST":
            return self._no(405)
        if self._parts.is_crowded():
            return self._no(503)  # before a body is read: what is refused costs those that are served as little as possible
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(scope, receive)
        except TimeoutError:
            return self._no(408)
        except _TooLarge:
            return self._no(413)
        with self._bodies.holding() as held:
            held.now(len(body))
            told: asyncio.Queue[int] = asyncio.Queue()
            self._take(provider, token, submission_id, body, told.put_nowait)
            return await told.get()

    def _opened(self, provider: str, token: str) -> int | None:
        return self._parts.tokens.open(provider, token) if provider in GATEWAYS else None


def _arrival(provider: str, token: str, submission_id: int, body: bytes) -> Arrival:
    secret = token.encode()
    if secret in body:  # some repeat the address they were given, and what is kept can be read
        body = body.replace(secret, HIDDEN)
    return Arrival(GATEWAYS[provider].read_callback(body), Source.CALLBACK, submission_id, body=body)


def _failed(error: Exception) -> int:
    """Nothing was acknowledged, so the provider says it again, and until then silence makes us ask."""
    if not isinstance(error, Unavailable):  # a bug
        log.error("callback.failed", exc_info=error)
    return 503


async def _body(scope: Scope, receive: Receive) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[-20:]) > BODY_LIMIT:
            raise _TooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_LIMIT:
            raise _TooLarge
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
