"""The content items of an order: what they hold, and the mode that their roles add up to."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.sandbox.families import Family
from service.sandbox.refusals import Refusal, invalid, missing

_ROLES = {
    "image_url": (None, "first_frame", "last_frame", "reference_image"),
    "video_url": ("reference_video",),
    "audio_url": ("reference_audio",),
}
_ADDRESS = re.compile(r"https?://\S+|asset://\S+|data:[a-z0-9+/.-]+;base64,[A-Za-z0-9+/=]+")


@dataclass(frozen=True, slots=True)
class Media:
    text: str
    mode: str
    """text, first, first_last, reference or draft."""
    draft_task: str | None = None


def read_content(content: Sequence[Any], family: Family) -> Media:
    if not content:
        raise missing("content")
    texts: list[str] = []
    roles: Counter[str | None] = Counter()
    draft_task: str | None = None
    for index, raw in enumerate(content):
        item = {k: v for k, v in raw.items() if v is not None} if isinstance(raw, dict) else raw
        match item:
            case {"type": "text", "text": str(text), **rest} if not rest:
                texts.append(text)
            case {"type": "draft_task", "draft_task": {"id": str(draft_task)}}:
                pass
            case {"type": ("image_url" | "video_url" | "audio_url") as kind, **rest}:
                _check_address(index, kind, rest.get(kind))
                role = rest.get("role")
                if not (role is None or isinstance(role, str)) or role not in _ROLES[kind]:
                    raise invalid(f"content[{index}].role", f"is not valid for {kind}")
                roles[role] += 1
            case {"type": str(kind)}:
                raise invalid(f"content[{index}]", f"is not a valid item of type {kind[:40]}")
            case _:
                raise missing(f"content[{index}].type")
    mode = "draft" if draft_task is not None else _mode(roles)
    if mode not in (*family.modes, "draft"):
        raise invalid("content", f"is not valid: model {family.name} does not take {mode} input")
    if mode == "text" and not "".join(texts).strip():
        raise missing("content[0].text")
    _check_counts(roles, family)
    return Media(" ".join(texts), mode, draft_task)


def _check_address(index: int, kind: str, payload: Any) -> None:
    match payload:
        case {"url": ""}:
            raise Refusal("InvalidImageURL.EmptyURL", "the url of the media is empty", f"content[{index}].{kind}.url")
        case {"url": str(url)} if _ADDRESS.fullmatch(url) and not (kind == "video_url" and url.startswith("data:")):
            return
        case {"url": str()}:
            raise Refusal("InvalidImageURL.InvalidFormat", "the url of the media is not valid", f"content[{index}].{kind}.url")
        case _:
            raise missing(f"content[{index}].{kind}.url")


def _mode(roles: Counter[str | None]) -> str:
    references = roles["reference_image"] + roles["reference_video"] + roles["reference_audio"]
    frames = roles[None] + roles["first_frame"] + roles["last_frame"]
    match references, frames:
        case 0, 0:
            return "text"
        case _, 0:
            return "reference"
        case 0, 1 if not roles["last_frame"]:
            return "first"
        case 0, 2 if roles["first_frame"] == roles["last_frame"] == 1:
            return "first_last"
        case 0, _:
            raise invalid("content", "is not valid: give one first_frame, or one first_frame and one last_frame")
        case _:
            raise invalid("content", "is not valid: first frame, first and last frame, and reference are mutually exclusive")


def _check_counts(roles: Counter[str | None], family: Family) -> None:
    limits = {
        "reference_image": family.reference_images,
        "reference_video": family.reference_media,
        "reference_audio": family.reference_media,
    }
    for role, most in limits.items():
        if roles[role] > most:
            raise invalid("content", f"is not valid: model {family.name} takes at most {most} items with role {role}")
    alone = roles["reference_audio"] and not roles["reference_image"] + roles["reference_video"]
    if alone and family.series == "2.0":
        raise invalid("content", "is not valid: audio needs an image or a video beside it")
