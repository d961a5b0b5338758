"""The body of an order in Ark's words, checked as strictly as Ark checks it: the first wrong field is named.

Explicit nulls are accepted, because the official SDK sends one for everything unset. Unknown fields are refused: the
documents do not say what the real thing does with them, and a client that relies on either has a mistake in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.sandbox import flags
from service.sandbox.families import RATIOS, Family, family_of
from service.sandbox.media import Media, read_content
from service.sandbox.refusals import Refusal, invalid, missing

_TYPES: dict[str, type] = {
    "model": str,
    "content": list,
    "callback_url": str,
    "return_last_frame": bool,
    "service_tier": str,
    "execution_expires_after": int,
    "generate_audio": bool,
    "draft": bool,
    "camera_fixed": bool,
    "watermark": bool,
    "seed": int,
    "resolution": str,
    "ratio": str,
    "duration": int,
    "frames": int,
    "priority": int,
    "tools": list,
    "safety_identifier": str,
    "output_format": str,
    "omni_reference_task_type": str,
}
FIELDS = frozenset(_TYPES)
_RANGES = {"seed": (-1, 2**32 - 1), "execution_expires_after": (3_600, 259_200), "priority": (0, 9), "frames": (29, 289)}
_CHOICES = {
    "service_tier": ("default", "flex"),
    "ratio": (*RATIOS, "adaptive"),
    "output_format": ("mp4", "mov"),
    "omni_reference_task_type": ("auto", "reference", "edit", "extend"),
}
_EXPIRES_S = 172_800
_IDENTIFIER_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Ask:
    model: str
    family: Family
    text: str
    mode: str
    resolution: str
    ratio: str
    duration: int
    """Seconds of the video; of the frames, when those were asked for."""
    frames: int | None
    seed: int
    flex: bool
    last_frame: bool
    callback_url: str | None
    echoed: Mapping[str, Any]
    """What the task object repeats beside the above."""


def read(body: Mapping[str, Any], ratios: tuple[str, ...] = ()) -> Ask:
    """`ratios`: what a gateway takes beyond Ark's."""
    said = {name: value for name, value in body.items() if value is not None}
    _check_types(said)
    if not said.get("model"):
        raise missing("model")
    if "content" not in said:
        raise missing("content")
    if "seedance" not in said["model"] and not said["model"].startswith("ep-"):
        message = f"The model or endpoint {said['model'][:200]} does not exist or you do not have access to it."
        raise Refusal("InvalidEndpointOrModel.NotFound", message, "model")
    family = family_of(said["model"])
    media = read_content(said["content"], family)
    # Which wins when the text says another thing than the body is not documented: the body does.
    said = _flagged(media.text, ratios) | said
    _check_values(said, ratios)
    _check_family(said, family, media)
    return _ask(said, family, media)


def _check_types(said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        if name not in _TYPES:
            raise invalid(name, "is not supported", "InvalidParameter.UnsupportedParameter")
        if type(value) is not _TYPES[name]:
            raise invalid(name, f"is not valid: expected {_TYPES[name].__name__}, got {type(value).__name__}")


def _flagged(text: str, ratios: tuple[str, ...]) -> dict[str, Any]:
    """Weakly checked: a wrong duration or resolution is refused like the body's, anything else that is wrong is ignored."""
    read = flags.typed(flags.read(text))
    read.pop("framespersecond", None)
    for name in ("camera_fixed", "watermark", "seed", "frames"):
        if name in read and type(read[name]) is not _TYPES[name]:
            del read[name]
    if read.get("ratio") not in (*RATIOS, "adaptive", *ratios):
        read.pop("ratio", None)
    if "duration" in read and type(read["duration"]) is not int:
        raise invalid("duration", "is not valid: expected int")
    return read


def _check_values(said: Mapping[str, Any], ratios: tuple[str, ...]) -> None:
    for name, (least, most) in _RANGES.items():
        if name in said and not least <= said[name] <= most:
            raise invalid(name, f"must be between {least} and {most}")
    for name, known in _CHOICES.items():
        allowed = (*known, *ratios) if name == "ratio" else known
        if name in said and said[name] not in allowed:
            raise invalid(name, f"is not valid: expected one of {', '.join(allowed)}")
    if "frames" in said and (said["frames"] - 25) % 4:
        raise invalid("frames", "must be 25+4n")
    identifier = said.get("safety_identifier", "")
    if not identifier.isascii() or len(identifier) > _IDENTIFIER_LIMIT:
        raise invalid("safety_identifier", f"must be at most {_IDENTIFIER_LIMIT} ASCII characters")
    for tool in said.get("tools", ()):
        if tool != {"type": "web_search"}:
            raise invalid("tools", "is not valid: only web_search is known")
    if not said.get("callback_url", "http://").startswith(("http://", "https://")):
        raise invalid("callback_url", "is not a valid URL")


def _check_family(said: Mapping[str, Any], family: Family, media: Media) -> None:
    series, where = family.series, f"for model {family.name} in {media.mode}"
    unsupported = {
        "frames": "frames" in said and series not in ("1.0", "?"),
        "camera_fixed": said.get("camera_fixed", False) and (series in ("2.0", "2.5") or media.mode == "reference"),
        "service_tier": said.get("service_tier") == "flex" and series in ("2.0", "2.5"),
        "draft": said.get("draft", False) and series not in ("1.5", "2.5", "?"),
        "priority": said.get("priority", 0) and not family.modern,
        "tools": said.get("tools") and not family.modern,
        "output_format": said.get("output_format", "mp4") != "mp4" and series not in ("2.5", "?"),
        "omni_reference_task_type": said.get("omni_reference_task_type", "auto") != "auto" and series not in ("2.5", "?"),
        "return_last_frame": said.get("return_last_frame", False) and family.name.endswith("pro-fast"),
    }
    for name, is_unsupported in unsupported.items():
        if is_unsupported:
            raise invalid(name, f"is not supported {where}", "InvalidParameter.UnsupportedParameter")
    if "frames" not in said:
        _check_duration(said.get("duration", family.default_s), family, where)
    resolution = said.get("resolution", family.default_resolution)
    if resolution not in family.resolutions or (
        family.reference_images == 4 and media.mode == "reference" and resolution == "1080p"
    ):
        raise invalid("resolution", f"is not valid {where}")
    if said.get("ratio") == "adaptive" and series == "1.0" and media.mode == "text":
        raise invalid("ratio", f"must not be adaptive {where}")
    if said.get("draft", False):
        for name in ("return_last_frame", "service_tier", "resolution"):
            if said.get(name) not in (None, False, "default", "480p"):
                raise invalid(name, "is not supported with draft", "InvalidParameter.UnsupportedParameter")
    if said.get("priority", 0) and said.get("service_tier") == "flex":
        raise invalid("priority", "is not supported with flex", "InvalidParameter.UnsupportedParameter")


def _check_duration(duration: int, family: Family, where: str) -> None:
    if duration == -1 and family.chooses:
        return
    if duration < family.shortest_s:
        raise invalid("duration", f"must be greater than or equal to {family.shortest_s} {where}")
    if duration > family.longest_s:
        raise invalid("duration", f"must be less than or equal to {family.longest_s} {where}")


def _ask(said: Mapping[str, Any], family: Family, media: Media) -> Ask:
    frames = said.get("frames")
    duration = said.get("duration", family.default_s)
    ratio = said.get("ratio", "adaptive")
    echoed: dict[str, Any] = {
        "service_tier": said.get("service_tier", "default"),
        "execution_expires_after": said.get("execution_expires_after", _EXPIRES_S),
        "draft": said.get("draft", False),
        "priority": said.get("priority", 0),
        "output_format": said.get("output_format", "mp4"),
    }
    if family.series not in ("1.0", "?"):
        echoed["generate_audio"] = said.get("generate_audio", True)
    if media.draft_task is not None:
        echoed["draft_task_id"] = media.draft_task
    for name in ("safety_identifier", "tools"):
        if name in said:
            echoed[name] = said[name]
    return Ask(
        model=said["model"],
        family=family,
        text=media.text,
        mode=media.mode,
        resolution=said.get("resolution", "480p" if said.get("draft", False) else family.default_resolution),
        # The real thing looks at the picture or the prompt; here everything that adapts becomes 16:9.
        ratio="16:9" if ratio in ("adaptive", "keep_ratio") else ratio,
        duration=frames // 24 if frames is not None else 5 if duration == -1 else duration,
        frames=frames,
        seed=said.get("seed", -1),
        flex=said.get("service_tier") == "flex",
        last_frame=said.get("return_last_frame", False),
        callback_url=said.get("callback_url"),
        echoed=echoed,
    )
