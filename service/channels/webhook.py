"""Standard Webhooks 1.0: https://www.standardwebhooks.com. The body is sent as it was stored; only the time is new."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.channels.address import faults, masked
from service.channels.base import Notice, Target, declined, post
from service.channels.headers import allowed
from service.domain.delivery import Gone, Outcome, Told
from service.domain.errors import Fault
from service.signing import sign
from service.wire import Post, Reply

OPTIONS = ("payload", "signature")
SIGNATURES = ("v1", "v1a")
"""HMAC with a secret that both sides have; ed25519, for which the subscriber holds the public key only."""
PAYLOADS = ("full", "thin", "cloudevents")
"""The stored body; what to look up and where; the stored body as a CloudEvent 1.0 in structured mode."""

SOURCE = "/callsheet"
"""Who says it, for CloudEvents: with the notice's id, which is random, it names an event in the whole world."""


class Webhook:
    name = "webhook"
    default_events: tuple[str, ...] = ("task.*",)
    folds = False
    signs = True

    def check(self, url: str, options: Mapping[str, str]) -> Sequence[Fault]:
        found = [Fault(f"options.{name}", "is not an option of this channel") for name in options if name not in OPTIONS]
        if options.get("payload", "full") not in PAYLOADS:
            found.append(Fault("options.payload", f"has to be one of {', '.join(PAYLOADS)}"))
        if options.get("signature", "v1") not in SIGNATURES:
            found.append(Fault("options.signature", f"has to be one of {', '.join(SIGNATURES)}"))
        return found + faults(url)

    def compose(self, notices: Sequence[Notice], target: Target, now: int) -> Post:
        (notice,) = notices
        assert target.secrets, "an unsigned notice never leaves"
        body, kind = _payload(notice, target.options.get("payload", "full"))
        timestamp_s = now // 1000
        headers = [
            *allowed(target.headers),
            ("content-type", kind),
            ("webhook-id", notice.id),
            ("webhook-timestamp", str(timestamp_s)),
            ("webhook-signature", sign(target.secrets, notice.id, timestamp_s, body)),
        ]
        return post(target.url, headers, body)

    def read(self, reply: Reply, now: int) -> Outcome:
        match reply.status:
            case status if 200 <= status < 300:
                return Told()
            case 410:
                return Gone("answered 410: the subscriber wants no more")
            case _:
                return declined(reply, now)

    def display(self, url: str) -> str:
        return masked(url)


def _payload(notice: Notice, form: str) -> tuple[bytes, str]:
    """Made of the stored bytes alone, so that every attempt has the same."""
    match form:
        case "thin":
            return _thin(notice), "application/json"
        case "cloudevents":
            return _cloudevent(notice), "application/cloudevents+json"
        case _:
            return notice.body, "application/json"


def _thin(notice: Notice) -> bytes:
    match orjson.loads(notice.body):
        case {"type": kind, "timestamp": timestamp, "data": {"task": {"id": task_id, "state": state, "url": url}}}:
            task = {"id": task_id, "state": state, "url": url}
            return orjson.dumps({"type": kind, "timestamp": timestamp, "data": {"task": task}})
        case _:  # operational: short as it is, and there is nothing to look up
            return notice.body


def _cloudevent(notice: Notice) -> bytes:
    body: dict[str, Any] = orjson.loads(notice.body)
    event: dict[str, Any] = {"specversion": "1.0", "id": notice.id, "source": SOURCE, "type": notice.type}
    match body:
        case {"timestamp": str(timestamp)}:
            event["time"] = timestamp
    match body:
        case {"data": {"task": {"id": str(task_id)}}}:
            event["subject"] = task_id
    return orjson.dumps(event | {"datacontenttype": "application/json", "data": body.get("data")})
