"""YEScale: Ark's task object, asked for with parameters written into the prompt.

Document: YEScale's API pages, "Submit Video Request" and "Query" under Seedance. No page names the host: an operator has to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.errors import Fault
from service.domain.flags import merge
from service.domain.order import Order
from service.providers import compose
from service.providers.ark import ArkDialect
from service.providers.base import Account, Callbacks, Facts

VALUES: Mapping[str, tuple[object, ...]] = {
    "resolution": ("480p", "1080p"),
    "duration": (5, 10),
    "ratio": ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "9:21", "keep_ratio", "adaptive"),
    "camera_fixed": (True, False),
}
"""All that its page offers. `--seed`, `--watermark` and `--frames` are Ark's, and not on it."""

CARRIED = frozenset({"text", "image_url"})


def limits(order: Order, account: Account) -> Sequence[Fault]:
    faults = compose.unsaid(order, "yescale", frozenset(VALUES))
    merged = merge(order)
    for name, offered in VALUES.items():
        value = getattr(merged.order, name)
        if value is not None and value not in offered:
            choice = ", ".join(str(each) for each in offered)
            faults.append(merged.locate(Fault(name, f"yescale offers {choice}.")))
    faults += [
        Fault(f"content[{i}].type", f"yescale carries text and image_url, no {item.type}.")
        for i, item in enumerate(order.content)
        if item.type not in CARRIED
    ]
    return faults


def body(order: Order, callback_url: str | None) -> dict[str, Any]:
    told = {} if callback_url is None else {"callback_url": callback_url}
    return {"model": order.model, "content": [item.as_dict() for item in compose.flagged(order)], **told}


YESCALE = ArkDialect(
    "yescale",
    None,
    Facts(
        callbacks=Callbacks.NONE,
        typical_s=90,
        verified=(
            "parameters go into the text as --flags: duration 5 or 10, resolution 480p or 1080p, nine ratios, camerafixed",
            "the answer to a query is Ark's task object with two fields more",
        ),
        unverified=(
            "its address: has to be configured",
            "its authentication: a Bearer key is assumed",
            "callback_url: not documented; not asked for unless the account says so",
            "errors: read as Ark's, and by the status of the answer",
            "the role of an image (first or last frame): sent as Ark names it",
            "list, cancel, limits: not used; 5 queries a second are assumed",
        ),
    ),
    path="/seedance/generations",
    render=body,
    limits=limits,
)
