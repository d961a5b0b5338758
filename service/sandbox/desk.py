"""What all dialects do alike with a request: count it, read it within a limit, say no in their own shape, fall silent."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.sandbox.asks import Ask
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.refusals import Refusal, Silence, invalid

BODY_LIMIT = 64 * 1024 * 1024
"""Ark's documented limit of a whole body: inline pictures are large."""

Handler = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Refusal], Response]


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, "application/json")


def counted(world: World, provider: str, kind: str, refuse: Refuse, handle: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        world.stats.request(provider, kind)
        try:
            return await handle(request)
        except Refusal as refusal:
            world.stats.request(provider, "refused")
            response = refuse(refusal)
            if refusal.retry_after_s is not None:
                response.headers["Retry-After"] = str(refusal.retry_after_s)
            return response
        except Silence as silence:
            return Hang(silence.seconds)

    return answer


async def read_object(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise invalid("body", "is larger than 64 MB")
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        raise invalid("body", "is not a JSON object")
    return read


def bearer(request: Request) -> str:
    """Empty when there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def check_key(key: str) -> None:
    """Any key opens the sandbox, except the two that show what refused credentials and an empty account look like."""
    if key in ("", "bad-key"):
        message = "the API key or AK/SK in the request is missing or invalid."
        raise Refusal("AuthenticationError", message)
    if key == "poor-key":
        raise Refusal("AccountOverdueError")


async def place(world: World, provider: str, ask: Ask, request: Request, own_id: bool = False) -> Job:
    job = world.place(provider, ask, root_url(request), own_id)
    await asyncio.sleep(job.wish.answer_s)
    return job


def root_url(request: Request) -> str:
    """Where the sandbox itself is, seen from the one who asks."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


class Hang(Response):
    """Says nothing until the time is over or the other side has gone, then breaks off in the middle of an answer."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except (TimeoutError, asyncio.CancelledError):
            # Cancelled: the server is closing, and this is the last thing it does here.
            # A body shorter than announced makes it close the connection.
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
