"""Subscriptions: saved with their keys sealed, changed, rotated, paused and woken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from service.channels.base import Channel, Target
from service.channels.headers import check_headers
from service.domain.errors import BadOrder, Conflict, Fault, NotFound
from service.domain.matching import EVERY_TASK_EVENT, possible
from service.flow.recall import recall, tell_others
from service.flow.targets import Sealed, columns, literal_faults, new_key, rotated, shown_key, unseal
from service.parts import Parts
from service.store import deliveries, lanes, subscriptions
from service.store.database import Tx

SKIPPED_AT_ONCE = 500
"""Deliveries of a removed subscription set aside with it; the rest when its lane has its turn."""

KEYS_LIMIT = 1_000
"""Subscriptions of one app with a public key: its key set names all of them, and every verifier reads it whole."""


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
    schedule: Sequence[int] | None = None,
) -> dict[str, Any]:
    return {
        "id": subscription_id,
        "app_id": app_id,
        "task_id": None,
        "channel": channel,
        "events": orjson.dumps(list(events)).decode(),
        "filter": orjson.dumps(dict(chosen)).decode(),
        "rate": rate,
        "concurrency": concurrency,
        "schedule": _schedule(schedule),
        "label": label,
        "status": "active",
        "reason": None,
        "status_at": now,
        "failing_since": None,
        "created_at": now,
        "version": 1,
    } | columns(parts, channel, Sealed(target))


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
    schedule: Sequence[int] | None = None,
    label: str = "",
) -> tuple[Any, str | None]:
    """The row, and the secret that is shown this once (webhooks with a shared secret only)."""
    speaks = parts.channels[channel]
    faults = _faults(speaks, url, options or {}, headers or {}, events) or literal_faults(parts, url)
    if faults:
        raise BadOrder("the subscription cannot be saved as it stands", faults)
    target = Target(url, (new_key(options or {}),) if speaks.signs else (), headers or {}, options or {})
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
            schedule=schedule,
        )
        if row["publics"] is not None and len(subscriptions.publics(tx.sql, app_id)) >= KEYS_LIMIT:
            raise Conflict(f"the app has {KEYS_LIMIT:,} subscriptions with a public key, as many as its key set holds")
        subscriptions.add(tx, [row])
        made: int = row["id"]
        return made

    subscription_id = await parts.db.write(add)
    return await get(parts, app_id, subscription_id), shown_key(target).get("secret")


def _faults(
    channel: Channel, url: str, options: Mapping[str, str], headers: Mapping[str, str], events: Sequence[str]
) -> list[Fault]:
    if headers and not channel.signs:
        return [Fault("headers", f"are not sent to {channel.name}")]
    return [*channel.check(url, options), *check_headers(headers), *event_faults(events)]


def event_faults(events: Sequence[str]) -> list[Fault]:
    return [
        Fault(f"events[{i}]", f"no event is called {pattern!r}; use e.g. task.*, task.succeeded, *")
        for i, pattern in enumerate(events)
        if not possible(pattern)
    ]


def _schedule(schedule: Sequence[int] | None) -> str | None:
    return None if schedule is None else orjson.dumps(list(schedule)).decode()


async def get(parts: Parts, app_id: str, subscription_id: int) -> Any:
    row = await parts.db.read(lambda sql: subscriptions.by_id(sql, app_id, subscription_id))
    if row is None:
        raise NotFound("there is no such subscription")
    return row


async def change(parts: Parts, app_id: str, subscription_id: int, changes: Mapping[str, Any]) -> Any:
    """`changes` by the names of the API; what is not named stays."""

    def act(tx: Tx) -> None:
        row = _locked(tx, app_id, subscription_id)
        subscriptions.change(tx, app_id, subscription_id, _changed(parts, row, changes))
        recall(tx, parts, subscription_id)
        if "target" in changes and row.status == "active":
            lanes.wake(tx, subscription_id)  # another address: what the old one did says nothing about it

    await parts.db.write(act)
    tell_others(parts)
    return await get(parts, app_id, subscription_id)


def _changed(parts: Parts, row: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    channel = parts.channels[row.channel]
    sealed = unseal(parts, row)
    was = sealed.target
    options = changes.get("options", was.options) or {}
    headers = changes.get("headers", was.headers) or {}
    url = was.url if changes.get("target") is None else changes["target"]
    faults = _faults(channel, url, options, headers, changes.get("events") or ())
    if "target" in changes and not faults:
        faults = literal_faults(parts, url)
    if options.get("signature", "v1") != was.options.get("signature", "v1"):
        faults.append(Fault("options.signature", "stays what it was: the subscriber holds the key. Make a new subscription"))
    if faults:
        raise BadOrder("the subscription cannot be changed so", faults)
    values: dict[str, Any] = {name: changes[name] for name in ("rate", "concurrency", "label") if name in changes}
    if "schedule" in changes:
        values["schedule"] = _schedule(changes["schedule"])
    if "events" in changes:
        values["events"] = orjson.dumps(list(changes["events"] or channel.default_events)).decode()
    if "filter" in changes:
        values["filter"] = orjson.dumps(dict(changes["filter"] or {})).decode()
    if {"target", "headers", "options"} & changes.keys():
        target = replace(was, url=url, headers=headers, options=options)
        values |= columns(parts, row.channel, replace(sealed, target=target))
    return values


def _locked(tx: Tx, app_id: str, subscription_id: int) -> Any:
    row = subscriptions.lock(tx, app_id, subscription_id)
    if row is None:
        raise NotFound("there is no such subscription")
    return row


async def rotate(parts: Parts, app_id: str, subscription_id: int) -> tuple[Any, dict[str, str]]:
    """The row, and what the subscriber verifies with from now on; each old key signs along for a day."""

    def act(tx: Tx) -> Target:
        row = _locked(tx, app_id, subscription_id)
        sealed = unseal(parts, row)
        if not sealed.target.secrets:
            raise Conflict(f"a {row.channel} subscription has no secret to rotate")
        sealed = rotated(sealed, tx.now)
        subscriptions.change(tx, app_id, subscription_id, columns(parts, row.channel, sealed))
        recall(tx, parts, subscription_id)
        return sealed.target

    target = await parts.db.write(act)
    tell_others(parts)
    return await get(parts, app_id, subscription_id), shown_key(target)


async def set_status(parts: Parts, app_id: str, subscription_id: int, status: str) -> Any:
    """paused: keeps what it would have been told, and sends it when it is active again. deleted: gone."""

    def act(tx: Tx) -> int:
        row = _locked(tx, app_id, subscription_id)
        if status == "paused" and row.status == "disabled":  # its reason would be lost, and what it missed stay skipped
            raise Conflict(f"the subscription is disabled ({row.reason}); resume it first")
        values: dict[str, Any] = {"status": status, "reason": None, "status_at": tx.now, "failing_since": None}
        changed = subscriptions.change(tx, app_id, subscription_id, values)
        if changed:
            recall(tx, parts, subscription_id)
        if changed and status == "active":
            lanes.wake(tx, subscription_id)
        elif changed and status == "paused":
            lanes.park(tx, subscription_id)
        elif changed:
            deliveries.skip_open(tx, subscription_id, SKIPPED_AT_ONCE)
            lanes.wake(tx, subscription_id)
        return changed

    if not await parts.db.write(act):
        raise NotFound("there is no such subscription")
    tell_others(parts)
    return None if status == "deleted" else await get(parts, app_id, subscription_id)
