"""Order: what a caller asks for. One shape for all gateways; each adapter renders it in its own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Item:
    """One content item, as Ark names them."""

    type: str
    """text, image_url, video_url, audio_url or draft_task."""
    value: str
    """The text, the URL (https, data: or asset://), or the draft task's id."""
    role: str | None = None
    """first_frame, last_frame, reference_image, reference_video, reference_audio."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        kind = raw["type"]
        match kind:
            case "text":
                value = raw["text"]
            case "draft_task":
                value = raw["draft_task"]["id"]
            case _:
                value = raw[kind]["url"]
        return cls(kind, value, raw.get("role"))

    def as_dict(self) -> dict[str, Any]:
        match self.type:
            case "text":
                payload: Any = self.value
            case "draft_task":
                payload = {"id": self.value}
            case _:
                payload = {"url": self.value}
        out = {"type": self.type, self.type: payload}
        if self.role is not None:
            out["role"] = self.role
        return out


@dataclass(frozen=True, slots=True)
class Order:
    model: str
    prompt: str | None = None
    content: tuple[Item, ...] = ()
    resolution: str | None = None
    ratio: str | None = None
    duration: int | None = None
    frames: int | None = None
    seed: int | None = None
    watermark: bool | None = None
    camera_fixed: bool | None = None
    generate_audio: bool | None = None
    return_last_frame: bool | None = None
    service_tier: str | None = None
    draft: bool | None = None
    priority: int | None = None
    execution_expires_after: int | None = None
    safety_identifier: str | None = None
    tools: tuple[str, ...] = ()
    """Kinds of tools, e.g. `web_search`."""
    output_format: str | None = None
    omni_reference_task_type: str | None = None
    provider: str | None = None
    """Pinned by the caller: this gateway and no other."""
    callback_url: str | None = None
    """The caller's own subscriber for this one task; never the provider's."""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def items(self) -> tuple[Item, ...]:
        """All content, the prompt first."""
        return (Item("text", self.prompt), *self.content) if self.prompt is not None else self.content

    @property
    def text(self) -> str:
        return " ".join(item.value for item in self.items if item.type == "text")

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        """From the shape of the native API, already checked."""
        values = {k: v for k, v in raw.items() if k in _NAMES and v is not None}
        if "content" in values:
            values["content"] = tuple(Item.of(item) for item in values["content"])
        if "tools" in values:
            values["tools"] = tuple(tool["type"] for tool in values["tools"])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The shape of the native API, without what was not said."""
        out = {name: value for name in _NAMES if (value := getattr(self, name)) is not None and value != () and value != {}}
        if self.content:
            out["content"] = [item.as_dict() for item in self.content]
        if self.tools:
            out["tools"] = [{"type": kind} for kind in self.tools]
        if self.metadata:
            out["metadata"] = dict(self.metadata)
        return out


_NAMES = tuple(f.name for f in fields(Order))


SHOWN_TEXT = 4_000
"""Characters of a prompt or an address that views and notices carry: a notice should stay under 20 KB."""


def shown(order: Order) -> dict[str, Any]:
    """The order as people and subscribers see it: inline media and endless prompts cut, nothing else changed."""
    out = order.as_dict()
    if "prompt" in out:
        out["prompt"] = _cut(out["prompt"])
    if "content" in out:
        out["content"] = [Item(i.type, _cut(i.value), i.role).as_dict() for i in order.content]
    return out


def _cut(value: str) -> str:
    if value.startswith("data:"):
        head = value[:64].split(",", 1)[0]
        return f"{head},… ({len(value)} characters)"
    return value if len(value) <= SHOWN_TEXT else f"{value[:SHOWN_TEXT]}… ({len(value)} characters)"
