"""A demo subscriber: checks the signature of every notice (Standard Webhooks, `v1`), keeps it, says it aloud, misbehaves on request.

`PUT /receiver/{name}` {"secret": "whsec_…"} · `POST /receiver/{name}` a notice · `GET` what came · `DELETE` forget it.
How it answers is in the query of the address that was subscribed: `?status=500`, `?status=410`, `?retry_after=7`, `?hang=30`.

The verification is written here once more, from the specification, so that the sender's mistakes cannot hide in it.
"""

import asyncio
import base64
import binascii
import hmac
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.desk import json_response

NAMES = 200
"""Receivers remembered; the one unused for longest goes first."""
NOTICES = 1_000
"""Notices kept for each."""
BODY_LIMIT = 256 * 1024
"""Notices stay under 20 KB by contract: far more is somebody else's mistake."""
TOLERANCE_S = 300
HANG_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Notice:
    id: str
    at_s: float
    verified: bool | None
    """None: no secret was registered."""
    reason: str | None
    repeated: bool
    """The same webhook-id came before."""
    answered: int
    body: Any

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def line(self, name: str) -> str:
        """The first line of what a person wants to know."""
        match self.body:
            case {"type": str(kind), "data": {"sequence": sequence, "task": {"id": task}}}:
                what = f"{kind} #{sequence} {task}"
            case {"type": str(kind)}:
                what = kind
            case _:
                what = "a body that is no notice"
        trust = {True: "signature verified", False: f"NOT VERIFIED: {self.reason}", None: "no secret registered"}[self.verified]
        return f"{name}: {what} ({trust}{', repeated' if self.repeated else ''})"


@dataclass(slots=True)
class Inbox:
    secret: str | None = field(default=None, repr=False)
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=NOTICES))


class Receiver:
    def __init__(self, now_s: Callable[[], float], say: Callable[[str], None] | None) -> None:
        self._now_s, self._say = now_s, say
        self._inboxes: OrderedDict[str, Inbox] = OrderedDict()

    def routes(self) -> list[Route]:
        path = "/receiver/{name}"
        return [
            Route(path, self.take, methods=["POST"]),
            Route(path, self.register, methods=["PUT"]),
            Route(path, self.show, methods=["GET"]),
            Route(path, self.clear, methods=["DELETE"]),
        ]

    def inbox(self, name: str) -> Inbox:
        inbox = self._inboxes.setdefault(name, Inbox())
        self._inboxes.move_to_end(name)
        if len(self._inboxes) > NAMES:
            self._inboxes.popitem(last=False)
        return inbox

    async def register(self, request: Request) -> Response:
        match _read(await _body(request)):
            case {"secret": str(secret)} if key_of(secret) is not None:
                self.inbox(request.path_params["name"]).secret = secret
                return Response(status_code=204)
            case _:
                return json_response({"error": 'expected {"secret": "whsec_…"}'}, 400)

    async def take(self, request: Request) -> Response:
        name = request.path_params["name"]
        body = await _body(request)
        if body is None:
            return json_response({"error": "too large"}, 413)
        inbox = self.inbox(name)
        reason = None if inbox.secret is None else refusal(inbox.secret, request.headers, body, self._now_s())
        verified = None if inbox.secret is None else reason is None
        status = _answer(request.query_params, 401 if verified is False else 204)
        id = request.headers.get("webhook-id", "")[:200]
        repeated = bool(id) and any(notice.id == id for notice in inbox.notices)
        notice = Notice(id, self._now_s(), verified, reason, repeated, status, _read(body))
        inbox.notices.append(notice)
        if self._say is not None:
            self._say(notice.line(name))
        await asyncio.sleep(min(_number(request.query_params.get("hang", "")) or 0.0, HANG_LIMIT_S))
        retry_after = _number(request.query_params.get("retry_after", ""))
        return Response(status_code=status, headers={} if retry_after is None else {"Retry-After": f"{retry_after:g}"})

    async def show(self, request: Request) -> Response:
        inbox = self._inboxes.get(request.path_params["name"], Inbox())
        return json_response({"count": len(inbox.notices), "notices": [notice.as_dict() for notice in inbox.notices]})

    async def clear(self, request: Request) -> Response:
        self._inboxes.pop(request.path_params["name"], None)
        return Response(status_code=204)


def key_of(secret: str) -> bytes | None:
    """None for what is no secret."""
    head, _, encoded = secret.partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if head == "whsec" and key else None


def refusal(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
    """Why these bytes are not from the holder of the secret, now; None when they are."""
    id, timestamp, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (id and timestamp and signatures):
        return "a header is missing"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        return "the timestamp is no number"
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return "the timestamp is too far from now"
    signed = b".".join((id.encode(), timestamp.encode(), body))
    wanted = base64.b64encode(hmac.digest(key_of(secret) or b"", signed, sha256)).decode()
    for entry in signatures.split():
        version, _, signature = entry.partition(",")
        if version == "v1" and hmac.compare_digest(signature.encode(), wanted.encode()):
            return None
    return "no signature matches"


def _answer(query: Mapping[str, str], otherwise: int) -> int:
    status = _number(query.get("status", ""))
    if status is not None and 200 <= status <= 599:
        return int(status)
    return 503 if "retry_after" in query else otherwise


def _number(text: str) -> float | None:
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 10 else None


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)


def _read(body: bytes | None) -> Any:
    try:
        return orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
