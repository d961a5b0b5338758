"""Who is told: takes a notice, checks what it says and who signed it, and answers as its faults have it."""

import asyncio
import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import httpx

from service.domain import ids
from service.domain.keep import before
from tests.sim import provider as wire
from tests.sim.history import Heard
from tests.sim.sent import Sent

if TYPE_CHECKING:
    from tests.sim.world import World

HOSTS = {"hook-all.test": "all", "hook-endings.test": "endings", "hook-other.test": "other", "hooks.slack.com": "slack"}
SLACK = "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX"
_ANSWERS = {"subscriber 500": 500, "subscriber 429": 429, "subscriber gone": 410}


def at_subscriber(world: "World", request: Sent, answer: "asyncio.Future[wire.Reply]", kind: str) -> None:
    host = request.host
    status = _ANSWERS.get(kind, 204)
    name = HOSTS.get(host) or f"own {world.plans[int(request.path[1:])].app}"
    told = host != "hooks.slack.com"
    if told:
        _hear(world, name, request, status)
    else:
        world.history.note(world.now_s, "slack", len(request.body), status)
    world.history.counts[f"told {name}: {status}"] += 1
    if kind == "subscriber resets after taking it":
        world.answer(answer, httpx.ReadError("reset"))
        return
    headers = {"retry-after": "7"} if status == 429 else {}
    world.answer(answer, (status, headers, b""))


def _hear(world: "World", name: str, request: Sent, status: int) -> None:
    headers = request.headers
    notice = headers["webhook-id"]
    delivery_id = ids.decode(ids.DELIVERY, notice) or 0
    content = b"%b.%b.%b" % (notice.encode(), headers["webhook-timestamp"].encode(), request.body)
    mac = hmac.new(b64decode(world.secrets[name].removeprefix("whsec_")), content, "sha256").digest()
    signed = f"v1,{b64encode(mac).decode()}" in headers["webhook-signature"].split(" ")
    assert world.process is not None
    found = world.process.store.raw.execute(
        "SELECT event.body FROM delivery JOIN event ON event.id = delivery.event_id WHERE delivery.id = ?", (delivery_id,)
    ).fetchone()
    if found is None:  # it was in a courier's hand while the janitor took its row
        true = delivery_id < ids.first_id_at(before(world.clock(), world.story.keep_days))
    else:
        true = bytes(found[0]) == request.body
    world.history.heard.append(Heard(delivery_id, name, status, signed, true))
    world.history.note(world.now_s, "told", name, notice, status, hashlib.sha256(request.body).hexdigest())
