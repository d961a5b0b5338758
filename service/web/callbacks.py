"""The callback door: `POST /callbacks/{provider}/{token}`, a raw ASGI application and the first thing that is tried.

A token that does not open for the provider in the path answers 404, whatever the reason. Behind an open door everything
is kept: even a body that nobody can read becomes a receipt, and makes us ask. 2xx only when it is durable; our own
trouble is 503, so that the provider tries again.
"""

import asyncio
import logging

from starlette.types import Message, Receive, Scope, Send

from service.domain.errors import Unavailable
from service.domain.news import Source
from service.flow.record import Arrival, record
from service.parts import Parts
from service.providers.registry import GATEWAYS
from service.store import apps
from service.web.bodies import Bodies
from service.web.reach import ASKED, Reach
from service.web.started import Started, started
from service.wire import BODY_LIMIT

log = logging.getLogger("callsheet.callbacks")

PATH = "/callbacks/"
BODY_S = 5.0
"""For the whole body: Ark itself waits no longer for an answer."""
STORE_S = 4.0
"""For the commit: past it the provider has hung up, and its repetition finds us better."""

HIDDEN = b"(token)"
"""In place of our own token, wherever a body repeats it."""

_JSON = [(b"content-type", b"application/json")]
_ANSWERS: dict[int, bytes] = {
    200: b'{"ok":true}',
    404: b'{"title":"Not Found","status":404}',
    405: b'{"title":"Method Not Allowed","status":405}',
    408: b'{"title":"Request Timeout","status":408}',
    413: b'{"title":"Content Too Large","status":413}',
    503: b'{"title":"Service Unavailable","status":503}',
}


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    """The sender hung up before its body was here."""


class CallbackDoor:
    def __init__(self, parts: Parts, bodies: Bodies) -> None:
        self._parts, self._bodies = parts, bodies
        self._reach = Reach(parts.tokens, lambda: parts.db.read(apps.identity))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        proof: bytes | None = None
        try:
            provider, _, token = scope["path"][len(PATH) :].partition("/")
            proof = await self._reach.answer(token) if provider == ASKED else None
            status = 200 if proof is not None else await self._answer(scope, receive, provider, token)
        except _Gone:
            return
        except Unavailable:
            status = 503  # only the self-call: whatever else is said is kept or answered below
        except Exception as error:
            # A bug. Nothing was acknowledged, so the provider says it again, and until then silence makes us ask.
            log.error("callback.failed", exc_info=error)
            status = 503
        if status != 200:
            self._parts.metrics.refused(str(status))
        body = proof if proof is not None else _ANSWERS[status]
        headers = [*_JSON, (b"content-length", str(len(body)).encode())]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        if status in (408, 413):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        if status == 405:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, provider: str, token: str) -> int:
        submission_id = self._parts.tokens.open(provider, token)
        gateway = GATEWAYS.get(provider)
        if submission_id is None or gateway is None:
            return 404
        if scope["method"] != "POST":
            return 405
        if self._parts.db.crowded:
            return 503  # before a body is read: what is refused costs those that are served as little as possible
        try:
            body = await _body(scope, receive)
        except TimeoutError:
            return 408
        except _TooLarge:
            return 413
        secret = token.encode()
        if secret in body:  # some repeat the address they were given, and what is kept can be read
            body = body.replace(secret, HIDDEN)
        try:
            with self._bodies.holding() as held:
                held.now(len(body))
                news = gateway.read_callback(body)
                recorded = await record(self._parts, Arrival(news, Source.CALLBACK, submission_id, body=body), STORE_S)
        except Unavailable:
            return 503
        return 200 if recorded.task is not None else 404


async def _body(scope: Scope, receive: Receive) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[-20:]) > BODY_LIMIT:
            raise _TooLarge
    first = started(receive())
    if first.here is not None and first.here["type"] == "http.request" and not first.here.get("more_body"):
        body: bytes = first.here.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise _TooLarge
        return body
    async with asyncio.timeout(BODY_S):
        return await _rest(first, receive)


async def _rest(first: "Started[Message]", receive: Receive) -> bytes:
    message = await first if first.here is None else first.here
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise _Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_LIMIT:
            raise _TooLarge
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()
