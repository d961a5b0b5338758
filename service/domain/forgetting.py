"""Forgetting: what stays of a task when its personal content goes. Who, when, which model, how it ended; nothing of what."""

import json
from typing import Any

FORGOTTEN = "forgotten"
"""The reason of a task whose content was erased: nothing that is said about it later is kept."""

KEPT_OF_AN_ORDER = (
    "model",
    "resolution",
    "ratio",
    "duration",
    "frames",
    "seed",
    "watermark",
    "camera_fixed",
    "generate_audio",
    "return_last_frame",
    "service_tier",
    "draft",
    "priority",
    "execution_expires_after",
    "output_format",
    "provider",
)
"""Named one by one: a field that is new is forgotten until somebody decides otherwise."""
KEPT_OF_AN_ERROR = ("code", "category", "retryable", "billed", "suggestion")
"""A provider's message may quote the prompt."""


def order(text: str) -> str:
    """JSON text to JSON text."""
    known: dict[str, Any] = json.loads(text)
    return _json({name: known[name] for name in KEPT_OF_AN_ORDER if name in known} | {"forgotten": True})


def error(text: str | None) -> str | None:
    if text is None:
        return None
    known: dict[str, Any] = json.loads(text)
    return _json({name: known[name] for name in KEPT_OF_AN_ERROR if name in known} | {"message": ""})


def notice(body: bytes) -> bytes:
    """The body of an event: what happened to which task, when."""
    match json.loads(body):
        case {"type": kind, "timestamp": timestamp, "data": {"sequence": sequence, "previous_state": was, "task": dict(task)}}:
            bones = {name: task.get(name) for name in ("id", "state", "url")} | {"forgotten": True}
            data: dict[str, Any] = {"sequence": sequence, "previous_state": was, "task": bones}
        case {"type": kind, "timestamp": timestamp, "data": dict(known)}:
            data = {name: known[name] for name in ("task_id", "provider", "url") if name in known} | {"forgotten": True}
        case _:
            return b'{"forgotten":true}'
    return _json({"type": kind, "timestamp": timestamp, "data": data}).encode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
