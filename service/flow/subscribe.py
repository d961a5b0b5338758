"""Subscriptions: saved with their secrets sealed, read back as targets, tested, rotated, paused and woken."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.channels.base import Target
from service.domain import ids
from service.domain.due import Due
from service.domain.errors import BadOrder, Conflict, Fault, NotFound
from service.domain.instant import rfc3339
from service.domain.matching import EVERY_TASK_EVENT, TEST_EVENT, possible
from service.flow.announce import Happening, announce
from service.parts import Parts
from service.signing import new_secret
from service.store import deliveries
from service.store.database import Tx

ROTATION_MS = 24 * 3_600_000
"""Both secrets sign for this long after a rotation."""


def subscription_row(
    parts: Parts,
    subscription_id: int,
    app_id: str,
    now: int,
    channel: str,
    target: Target,
    events: Sequence[str],
    chosen: Mapping[str, Any],
    *,
    label: str = "",
    rate: int | None = None,
    concurrency: int | None = None,
) -> dict[str, Any]:
    return {
        "id": subscription_id,
        "app_id": app_id,
        "task_id": None,
        "channel": channel,
        "target": parts.channels[channel].display(target.url),
        "sealed": seal_target(parts, target),
        "events": orjson.dumps(list(events)).decode(),
        "filter": orjson.dumps(dict(chosen)).decode(),
        "options": orjson.dumps(dict(target.options)).decode(),
        "rate": rate,
        "concurrency": concurrency,
        "label": label,
        "status": "active",
        "reason": None,
        "status_at": now,
        "failing_since": None,
        "created_at": now,
        "version": 1,
    }


def seal_target(parts: Parts, target: Target, retiring: tuple[str, int] | None = None) -> bytes:
    """URL, secrets and headers never lie on the disk as clear text. `retiring`: an older secret and until when it signs."""
    return parts.seal.seal(
        orjson.dumps(
            {"url": target.url, "secrets": list(target.secrets), "headers": dict(target.headers), "retiring": retiring}
        )
    )


def open_target(parts: Parts, row: Any, now: int) -> Target:
    raw = orjson.loads(parts.seal.open(bytes(row.sealed)))
    secrets = list(raw["secrets"])
    if raw["retiring"] is not None and now < raw["retiring"][1]:
        secrets.append(raw["retiring"][0])
    return Target(raw["url"], tuple(secrets), raw["headers"], orjson.loads(row.options))


async def create(
    parts: Parts,
    app_id: str,
    *,
    channel: str,
    url: str,
    events: Sequence[str] = (),
    chosen: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    rate: int | None = None,
    concurrency: int | None = None,
    label: str = "",
) -> tuple[Any, str | None]:
    """The row, and the secret that is shown this once (webhooks only)."""
    speaks = parts.channels[channel]
    target = Target(url, (new_secret(),) if speaks.signs else (), headers or {}, options or {})
    faults = [*speaks.check(url, target.options), *event_faults(events)]
    if faults:
        raise BadOrder("the subscription cannot be saved as it stands", faults)
    chosen_events = events or speaks.default_events or EVERY_TASK_EVENT

    def add(tx: Tx) -> int:
        row = subscription_row(
            parts,
            tx.ids.new(),
            app_id,
            tx.now,
            channel,
            target,
            chosen_events,
            chosen or {},
            label=label,
            rate=rate,
            concurrency=concurrency,
        )
        deliveries.add_subscriptions(tx, [row])
        made: int = row["id"]
        return made

    subscription_id = await parts.db.write(add)
    return await get(parts, app_id, subscription_id), target.secrets[0] if target.secrets else None


def event_faults(events: Sequence[str]) -> list[Fault]:
    return [
        Fault(f"events[{i}]", f"no event is called {pattern!r}; use e.g. task.*, task.succeeded, *")
        for i, pattern in enumerate(events)
        if not possible(pattern)
    ]


async def get(parts: Parts, app_id: str, subscription_id: int) -> Any:
    row = await parts.db.read(lambda sql: deliveries.subscription(sql, app_id, subscription_id))
    if row is None:
        raise NotFound("there is no such subscription")
    return row


async def change(parts: Parts, app_id: str, subscription_id: int, changes: Mapping[str, Any]) -> Any:
    """`changes` by the names of the API; what is not named stays."""
    row = await get(parts, app_id, subscription_id)
    channel = parts.channels[row.channel]
    target = open_target(parts, row, parts.clock())
    options = changes.get("options") or target.options
    url = changes.get("target") or target.url
    faults = [*channel.check(url, options), *event_faults(changes.get("events") or ())]
    if faults:
        raise BadOrder("the subscription cannot be changed so", faults)
    values: dict[str, Any] = {name: changes[name] for name in ("rate", "concurrency", "label") if name in changes}
    if "events" in changes:
        values["events"] = orjson.dumps(list(changes["events"] or EVERY_TASK_EVENT)).decode()
    if "filter" in changes:
        values["filter"] = orjson.dumps(dict(changes["filter"] or {})).decode()
    if {"target", "headers", "options"} & changes.keys():
        raw = orjson.loads(parts.seal.open(bytes(row.sealed)))
        headers = changes["headers"] or {} if "headers" in changes else target.headers
        sealed = seal_target(parts, Target(url, tuple(raw["secrets"]), headers, options), raw["retiring"])
        values |= {"sealed": sealed, "target": channel.display(url), "options": orjson.dumps(dict(options)).decode()}
    await parts.db.write(lambda tx: deliveries.change_subscription(tx, app_id, subscription_id, values))
    return await get(parts, app_id, subscription_id)


async def rotate(parts: Parts, app_id: str, subscription_id: int) -> tuple[Any, str]:
    """A new secret, shown this once; the old one signs along for a day."""
    row = await get(parts, app_id, subscription_id)
    raw = orjson.loads(parts.seal.open(bytes(row.sealed)))
    if not raw["secrets"]:
        raise Conflict(f"a {row.channel} subscription has no secret to rotate")
    secret = new_secret()
    target = Target(raw["url"], (secret,), raw["headers"], {})
    sealed = seal_target(parts, target, (raw["secrets"][0], parts.clock() + ROTATION_MS))
    await parts.db.write(lambda tx: deliveries.change_subscription(tx, app_id, subscription_id, {"sealed": sealed}))
    return await get(parts, app_id, subscription_id), secret


async def set_status(parts: Parts, app_id: str, subscription_id: int, status: str) -> Any:
    """paused: keeps what it would have been told, and sends it when it is active again. deleted: gone."""

    def act(tx: Tx) -> int:
        values: dict[str, Any] = {"status": status, "reason": None, "status_at": tx.now, "failing_since": None}
        changed = deliveries.change_subscription(tx, app_id, subscription_id, values)
        if changed and status == "active":
            deliveries.wake_parked(tx, subscription_id)
        elif changed and status == "paused":
            deliveries.park_open(tx, subscription_id)
        elif changed:
            deliveries.skip_open(tx, subscription_id)
        return changed

    if not await parts.db.write(act):
        raise NotFound("there is no such subscription")
    parts.courier.bell.set()
    return None if status == "deleted" else await get(parts, app_id, subscription_id)


async def send_test(parts: Parts, app_id: str, subscription_id: int) -> int:
    """A notice that says it is a test, through the same machinery as any other. The delivery's name."""
    row = await get(parts, app_id, subscription_id)
    if row.status != "active":
        raise Conflict(f"the subscription is {row.status}; resume it first")
    name = ids.encode(ids.SUBSCRIPTION, subscription_id)

    def act(tx: Tx) -> tuple[int, list[Due]]:
        data = {"subscription_id": name, "message": "A test notice from Callsheet: signature and address work."}
        body = orjson.dumps({"type": TEST_EVENT, "timestamp": rfc3339(tx.now), "data": data})
        [in_hand] = announce(tx, parts, [Happening(app_id, TEST_EVENT, "own", body, only=subscription_id)])
        return deliveries.newest(tx.sql, subscription_id), in_hand

    delivery_id, in_hand = await parts.db.write(act)
    parts.courier.put(in_hand)
    return delivery_id
