"""The network as one process sees it, and the providers at its other end: what becomes of each request."""

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from service.egress.transport import Limits, Transport
from service.wire import Post, Reply
from tests.sim import provider as wire
from tests.sim.calls import tell
from tests.sim.process import unsent
from tests.sim.provider import START_S, Job, Provider
from tests.sim.sent import Sent
from tests.sim.story import Fault
from tests.sim.subscribers import at_subscriber

if TYPE_CHECKING:
    from tests.sim.world import World


class Wire(Transport):
    """The network as one process sees it, in the place of the real transport: what the service says comes as it is said there."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def reply(self, request: httpx.Request | Post, limits: Limits) -> Reply:
        assert unsent() is None, unsent()
        answer: asyncio.Future[wire.Reply] = self._world.loop.create_future()
        sent = Sent.of(request)
        carry(self._world, sent, answer)
        late = self._world.loop.call_later(limits.total_s, _too_late, answer)
        try:
            status, headers, body = await answer
        finally:
            late.cancel()
        if len(body) > limits.cap:
            raise httpx.RemoteProtocolError(f"longer than {limits.cap} bytes")
        if sent.host in self._world.providers:
            headers = headers | {"date": formatdate(START_S + self._world.now_s, usegmt=True)}
        return Reply(status, headers, body)


def _too_late(answer: "asyncio.Future[wire.Reply]") -> None:
    if not answer.done():
        answer.set_exception(httpx.ReadTimeout("no whole answer in time"))


def mode(world: "World", host: str) -> str:
    kind, until_s = world.modes.get(host, ("", 0.0))
    if world.now_s >= until_s:
        return ""
    world.history.counts[kind] += 1
    return kind


def carry(world: "World", request: Sent, answer: "asyncio.Future[wire.Reply]") -> None:
    host = request.host
    kind = mode(world, host)
    trouble = _submit_trouble(world, request) if host in world.providers and request.method == "POST" else None
    if kind.endswith("refuses") or (trouble is not None and trouble.kind == "submit refused"):
        world.answer(answer, httpx.ConnectError("refused"))
    elif kind.endswith("hangs"):
        return
    elif host in world.providers:
        world.later(world.latency(), _at_provider, world, request, answer, kind, trouble)
    else:
        world.later(world.latency(), at_subscriber, world, request, answer, kind)


def _submit_trouble(world: "World", request: Sent) -> Fault | None:
    number = _order_of(orjson.loads(request.body))
    for trouble in world.troubles.get(number, ()):
        if trouble.kind.startswith("submit"):
            world.troubles[number].remove(trouble)
            world.history.counts[trouble.kind] += 1
            return trouble
    return None


def _at_provider(world: "World", request: Sent, answer: "asyncio.Future[wire.Reply]", kind: str, trouble: Fault | None) -> None:
    played = world.providers[request.host]
    broken = _BROKEN.get(kind)
    if broken is not None:
        reply = broken
    elif request.method != "POST":
        reply = played.answer(START_S + world.now_s, request.method, request.path, request.query)
    else:
        kind = "" if trouble is None else trouble.kind
        made = _REFUSALS.get(kind)
        if made is None:
            reply = _accept(world, played, orjson.loads(request.body))
            if kind == "submit times out after accept":
                return
            if kind == "submit resets after accept":
                world.answer(answer, httpx.ReadError("reset"))
                return
            if kind == "submit 500 after accept":
                reply = _BROKEN["provider 500"]
        else:
            reply = made
    world.answer(answer, reply)


def _accept(world: "World", played: Provider, body: dict[str, Any]) -> wire.Reply:
    number = _order_of(body)
    plan = world.plans[number]
    job = played.accept(START_S + world.now_s, body, number, plan.queue_s, plan.run_s, plan.ending)
    world.history.placed[number] += 1
    world.history.note(world.now_s, "accepted", job.id, number)
    for trouble in world.troubles.get(number, ()):
        if trouble.kind == "job forgotten":
            world.later(trouble.size, _forget, world, job)
    if "callback_url" in body:
        for status, at_s in (("queued", 0.0), ("running", job.running_s), ("ended", job.ended_s)):
            if status != "queued" or number % 3 == 0:
                world.start(tell(world, job, status, max(0.0, at_s - START_S - world.now_s)))
    return wire.reply(200, {"id": job.id})


def _forget(world: "World", job: Job) -> None:
    job.forgotten = True
    world.history.counts["job forgotten"] += 1


def _order_of(body: dict[str, Any]) -> int:
    return int(body["content"][0]["text"].removeprefix("order "))


_BROKEN = {
    "provider 500": wire.reply(500, {"error": {"code": "InternalServiceError", "message": "trouble"}}),
    "provider 429": wire.reply(429, {"error": {"code": "RateLimitExceeded", "message": "slow down"}}, **{"retry-after": "3"}),
    "provider 404": wire.reply(404, {"error": {"code": "ResourceNotFound", "message": "unknown"}}),
    "provider says rubbish": (200, {}, b"<html>gateway</html>"),
}
_REFUSALS = {
    "submit 500": _BROKEN["provider 500"],
    "submit 429": _BROKEN["provider 429"],
    "submit 404": wire.reply(404, {"error": {"code": "InvalidEndpointOrModel.NotFound", "message": "no such model"}}),
    "submit 400": wire.reply(400, {"error": {"code": "InvalidParameter", "message": "no"}}),
    "submit 401": wire.reply(401, {"error": {"code": "AuthenticationError", "message": "who are you"}}),
}
