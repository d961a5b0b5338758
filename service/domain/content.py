"""What the content of an order makes of it, and what is wrong with that content.

Messages never repeat an address or a text: both may hold what is not for others. Not checked, because it takes the
media themselves: sizes in pixels, lengths, faces.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.domain.errors import Fault
from service.domain.families import Family, Mode
from service.domain.order import Item, Order

Finding = Fault | str
"""A fault refuses the order; a sentence only warns."""

CONTENT_LIMIT = 100
"""Items that are looked at: the most any family takes is 50 references and its texts."""
IMAGE_LIMIT_B = 30_000_000
"""Bytes of one image; inline ones are measured by their base64."""
PROMPT_WORDS = 1_000
PROMPT_CHARACTERS = 500
"""Recommended at most, for English words and for Chinese characters."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "text": (),
    "image_url": ("first_frame", "last_frame", "reference_image"),
    "video_url": ("reference_video",),
    "audio_url": ("reference_audio",),
    "draft_task": (),
}
IMAGE_FORMATS = frozenset({"jpeg", "jpg", "png", "webp", "bmp", "tiff", "gif", "heic", "heif"})

_WEB = re.compile(r"https?://[^\s\x00-\x20/?#]+[^\s\x00-\x20]*", re.IGNORECASE)
_ASSET = re.compile(r"asset://\S+")
_INLINE = re.compile(r"data:([A-Za-z]+)/([A-Za-z0-9.+-]+);base64,(?=.)")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Layout:
    mode: Mode
    images: int
    """Reference images only; frames are told by the mode."""
    videos: int
    audios: int


_TEXT_ALONE = Layout(Mode.TEXT, 0, 0, 0)


def layout(order: Order) -> Layout:
    if not order.content:
        return _TEXT_ALONE
    roles = [_role(item) for item in order.content]
    images, videos, audios = (roles.count(f"reference_{kind}") for kind in ("image", "video", "audio"))
    if any(item.type == "draft_task" for item in order.content):
        mode = Mode.DRAFT
    elif images or videos or audios:
        mode = Mode.REFERENCE
    elif "last_frame" in roles:
        mode = Mode.BOTH
    else:
        mode = Mode.FIRST if "first_frame" in roles else Mode.TEXT
    return Layout(mode, images, videos, audios)


def _role(item: Item) -> str | None:
    """An image without a role is the first frame; video and audio have no choice."""
    defaults = {"image_url": "first_frame", "video_url": "reference_video", "audio_url": "reference_audio"}
    return item.role or defaults.get(item.type)


def findings(order: Order, family: Family | None, plain: str) -> Iterator[Finding]:
    """`plain` is the order's text without flags. No family: a model nobody here knows, held to what holds for all."""
    if len(order.content) > CONTENT_LIMIT:
        yield Fault("content", f"has {len(order.content)} items: at most {CONTENT_LIMIT} make sense to any model.")
        return
    if order.prompt is not None and not order.prompt.strip():
        yield Fault("prompt", "is empty: write one or leave it out.")
    for index, item in enumerate(order.content):
        yield from _of_item(item, f"content[{index}]", family)
    yield from _of_frames(order)
    yield from _of_text(order, plain)
    if layout(order).mode is Mode.DRAFT:
        yield from _of_draft_task(order, family)
    elif family is not None:
        yield from _of_mode(order, family)


def _of_item(item: Item, path: str, family: Family | None) -> Iterator[Finding]:
    if item.type not in ROLES:
        message = f"is no known type: use {', '.join(ROLES)}."
        yield Fault(f"{path}.type", message) if family else f"{path}.type {message} It is passed on as it is."
        return
    roles = ROLES[item.type]
    if item.role is not None and item.role not in roles:
        message = (
            f"does not go with {item.type}: use {' or '.join(roles)}."
            if roles
            else f"is nothing an item of type {item.type} has: leave it out."
        )
        yield Fault(f"{path}.role", message) if family else f"{path}.role {message} It is passed on as it is."
    match item.type:
        case "text" if not item.value.strip():
            yield Fault(f"{path}.text", "is empty: write one or leave the item out.")
        case "draft_task" if not item.value.strip():
            yield Fault(f"{path}.draft_task.id", "is empty: name the draft's task at the provider.")
        case "image_url":
            yield from _of_image(item.value, f"{path}.image_url.url")
        case "video_url" if not _is_address(item.value):
            yield Fault(f"{path}.video_url.url", "has to be an http(s):// or asset:// address; videos cannot be sent inline.")
        case "audio_url" if not _is_address(item.value):
            inline = _INLINE.match(item.value)
            if not inline or inline[1] != "audio" or inline[2] != inline[2].lower():
                yield Fault(f"{path}.audio_url.url", "has to be http(s)://, asset:// or data:audio/<format>;base64,…")


def _is_address(value: str) -> bool:
    return bool(_WEB.fullmatch(value) or _ASSET.fullmatch(value))


def _of_image(value: str, path: str) -> Iterator[Finding]:
    if _is_address(value):
        return
    inline = _INLINE.match(value)
    if not inline or inline[1] != "image":
        yield Fault(path, "has to be http(s)://, asset:// or data:image/<format>;base64,…")
    elif inline[2] != inline[2].lower():
        yield Fault(path, f"names its format in capitals: write data:image/{inline[2].lower()[:20]};base64,…")
    elif (len(value) - inline.end()) * 3 // 4 > IMAGE_LIMIT_B:
        yield Fault(path, f"holds more than {IMAGE_LIMIT_B // 1_000_000} MB: send a smaller image or an address.")
    elif inline[2] not in IMAGE_FORMATS:
        yield f"{path} is of a format that no model documents; jpeg, png and webp are safe."


def _of_frames(order: Order) -> Iterator[Finding]:
    images = [(i, item) for i, item in enumerate(order.content) if item.type == "image_url"]
    if len(images) > 1:
        for index, item in images:
            if item.role is None:
                yield Fault(f"content[{index}].role", "is missing: with several images each has to say what it is.")
    for role in ("first_frame", "last_frame"):
        for index in [i for i, item in images if item.role == role][1:]:
            yield Fault(f"content[{index}].role", f"is a second {role}: there can be one.")
    frames = [(i, item) for i, item in images if _role(item) in ("first_frame", "last_frame")]
    if frames and all(item.role == "last_frame" for _, item in frames):
        yield Fault(
            f"content[{frames[0][0]}].role", "is a last_frame without a first_frame: add one, or call this one first_frame."
        )
    if frames and any((_role(item) or "").startswith("reference_") for item in order.content):
        for index, _ in frames:
            yield Fault(f"content[{index}].role", "mixes a frame with references: use frames or reference_… roles, not both.")


def _of_text(order: Order, plain: str) -> Iterator[Finding]:
    if not order.items:
        yield Fault("prompt", "is missing: write one, or send content.")
    elif order.text.strip() and not plain and all(item.type == "text" for item in order.items):
        yield Fault("prompt", "holds nothing but flags: say what the video shows.")
    if len(plain.split()) > PROMPT_WORDS or len(_CHINESE.findall(plain)) > PROMPT_CHARACTERS:
        yield (
            f"The prompt is longer than recommended ({PROMPT_WORDS} words, or {PROMPT_CHARACTERS} Chinese characters): "
            "models lose details of long ones."
        )


def _of_draft_task(order: Order, family: Family | None) -> Iterator[Finding]:
    drafts = [i for i, item in enumerate(order.content) if item.type == "draft_task"]
    if family is not None and "draft" not in family.takes:
        yield Fault(f"content[{drafts[0]}].type", f"is draft_task, and {family.name} makes no drafts.")
    for index in drafts[1:]:
        yield Fault(f"content[{index}].type", "is a second draft_task: there can be one.")
    for index, item in enumerate(order.content):
        if item.type in ROLES and item.type != "draft_task":
            yield Fault(f"content[{index}].type", "goes beside a draft_task, whose own text and media are used: leave it out.")
    if order.prompt is not None:
        yield Fault("prompt", "goes beside a draft_task, whose own text is used: leave it out.")


def _fits(frame: Item, family: Family) -> bool:
    return (Mode.BOTH if frame.role == "last_frame" else Mode.FIRST) in family.modes


def _of_mode(order: Order, family: Family) -> Iterator[Finding]:
    seen = layout(order)
    modes = ", ".join(mode for mode in Mode if mode in family.modes)
    taken = {"image_url": family.images, "video_url": family.videos, "audio_url": family.audios}
    for index, item in enumerate(order.content):
        if (_role(item) or "").startswith("reference_") and not taken.get(item.type, 1):
            place = "role" if item.type == "image_url" else "type"
            yield Fault(f"content[{index}].{place}", f"is not supported by {family.name}, which makes videos from: {modes}.")
        elif seen.mode in (Mode.FIRST, Mode.BOTH) and item.type == "image_url" and not _fits(item, family):
            yield Fault(f"content[{index}].role", f"is not supported by {family.name}, which makes videos from: {modes}.")
    if seen.mode is Mode.TEXT and Mode.TEXT not in family.modes:
        yield Fault("content", f"has no image, and {family.name} needs one.")
    for kind, count, limit in (
        ("reference images", seen.images, family.images),
        ("videos", seen.videos, family.videos),
        ("audios", seen.audios, family.audios),
    ):
        if count > limit > 0:
            yield Fault("content", f"has {count} {kind}: {family.name} takes at most {limit}.")
    if family.audios and not family.audio_alone and seen.audios and not (seen.images or seen.videos):
        yield Fault("content", f"has audio alone: {family.name} needs a reference image or video beside it.")
