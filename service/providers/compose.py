"""Requests and orders put into words: what the gateways' files share when they compose.

Absent on purpose: sending, retrying, timeouts, and the vendors' own clients (they send a paid order again by themselves when
an answer is late).
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from service import __version__
from service.domain import flags
from service.domain.errors import Fault
from service.domain.order import Item, Order
from service.providers.base import Account

OURS = frozenset({"model", "prompt", "content", "provider", "callback_url", "metadata"})
"""Fields of an order that say what and whose it is; every gateway can carry the first three and never sees the others."""

STANDING = {"accept": "application/json", "user-agent": f"callsheet/{__version__}"}

FLAGS: Mapping[str, str] = {
    "resolution": "resolution",
    "ratio": "ratio",
    "duration": "duration",
    "frames": "frames",
    "seed": "seed",
    "camera_fixed": "camerafixed",
    "watermark": "watermark",
}
"""Fields that can be written into the prompt. The others have no flag."""


def request(method: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any] | None = None) -> httpx.Request:
    if body is None:
        return httpx.Request(method, url, headers={**STANDING, **headers})
    typed = {**STANDING, "content-type": "application/json", **headers}
    return httpx.Request(method, _parsed(url), headers=typed, content=orjson.dumps(body))


@lru_cache(64)
def _parsed(url: str) -> httpx.URL:
    """Orders go to a few addresses again and again; questions carry names in theirs."""
    return httpx.URL(url)


def bearer(account: Account) -> dict[str, str]:
    return {"authorization": f"Bearer {account.api_key}"}


def segment(remote_id: str) -> str:
    """A gateway's id as one segment of a path, whatever it holds."""
    return quote(remote_id, safe="")


def unsaid(order: Order, gateway: str, can_say: frozenset[str]) -> list[Fault]:
    """A fault for each field, or flag in the prompt, that a gateway has no word for."""
    merged = flags.merge(order)
    fields = sorted(merged.order.as_dict().keys() - OURS - can_say)
    return [
        merged.locate(Fault(name, f"{gateway} has no word for {name}: leave it out, or order elsewhere.")) for name in fields
    ]


def flagged(order: Order) -> tuple[Item, ...]:
    """The content with every parameter that has a flag written behind the last text, in one spelling and once."""
    merged = flags.merge(order).order
    said = [f"--{flag} {_word(value)}" for field, flag in FLAGS.items() if (value := getattr(merged, field)) is not None]
    items = [replace(item, value=flags.read(item.value).plain) if item.type == "text" else item for item in order.items]
    last = max((i for i, item in enumerate(items) if item.type == "text"), default=None)
    if last is None:
        return (Item("text", " ".join(said)), *items) if said else tuple(items)
    items[last] = replace(items[last], value=" ".join(filter(None, (items[last].value, *said))))
    return tuple(items)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
