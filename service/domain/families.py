"""What each family of models accepts: data, not code.

A family is what a model id stands for once its vendor's prefix and its date are gone. Ids and prices belong to the
operator's configuration; what a family can do belongs here. Where the documents of a family disagree the wider reading
stands, and the rules warn instead of refusing: a wrong refusal costs the caller as much as a wrong order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Mode(StrEnum):
    """What the content of an order makes of it. One order has one mode."""

    TEXT = "text"
    FIRST = "first frame"
    BOTH = "first and last frame"
    REFERENCE = "reference"
    DRAFT = "draft task"
    """The full rendering of an earlier draft."""


ADAPTIVE = "adaptive"
SHAPES = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
RATIOS = (*SHAPES, ADAPTIVE)

Pixels = Mapping[str, Mapping[str, tuple[int, int]]]
"""Resolution → ratio → width and height."""


def _sizes(row: str) -> dict[str, tuple[int, int]]:
    pairs = (size.split("x") for size in row.split())
    return {ratio: (int(width), int(height)) for ratio, (width, height) in zip(SHAPES, pairs, strict=True)}


PIXELS_1_0: Pixels = {
    "480p": _sizes("864x480 736x544 640x640 544x736 480x864 960x416"),
    "720p": _sizes("1248x704 1120x832 960x960 832x1120 704x1248 1504x640"),
    "1080p": _sizes("1920x1088 1664x1248 1440x1440 1248x1664 1088x1920 2176x928"),
}
PIXELS_1_5: Pixels = {
    "480p": _sizes("864x496 752x560 640x640 560x752 496x864 992x432"),
    "720p": _sizes("1280x720 1112x834 960x960 834x1112 720x1280 1470x630"),
    "1080p": _sizes("1920x1080 1664x1248 1440x1440 1248x1664 1080x1920 2206x946"),
}
PIXELS_2_0: Pixels = {**PIXELS_1_5, "4k": _sizes("3840x2160 3326x2494 2880x2880 2494x3326 2160x3840 4398x1886")}
PIXELS_2_5: Pixels = {**PIXELS_1_5, "480p": _sizes("854x480 752x560 640x640 560x752 480x854 992x432")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    name: str
    modes: frozenset[Mode]
    pixels: Pixels
    resolutions: tuple[str, ...] = ("480p", "720p", "1080p")
    reference_resolutions: tuple[str, ...] | None = None
    """When reference images allow fewer than the rest."""
    resolution: str = "720p"
    """The default."""
    ratios: Mapping[Mode, tuple[str, ...]]
    """By mode, the default first."""
    gateway_ratios: frozenset[str] = frozenset()
    """Only some gateways' documents know these: a warning, not a fault."""
    seconds: tuple[int, int]
    """Shortest and longest, both included."""
    duration: int = 5
    """The default."""
    chooses_duration: bool = False
    """Takes −1: the model decides."""
    takes: frozenset[str]
    """Optional parameters of an order that mean something here."""
    images: int = 0
    """Reference images at most; likewise the next two."""
    videos: int = 0
    audios: int = 0
    audio_alone: bool = False
    input_s: int = 0
    """Seconds of reference video in total; they are billed like those of the result."""
    bound_to_input: bool = False
    """Work on given frames or on a given video keeps their shape: only the adaptive ratio is taken."""
    draft_percent: int = 100
    """What of a normal video's tokens a draft is billed; 100 where nobody documents less."""
    last_frame_doubtful: bool = False
    """Notes say that return_last_frame does nothing here; no document does."""
    ends: str | None = None
    """The day its service was to stop, by copies of the vendor's pages: worth a warning, never a refusal."""


_ADAPTIVE_FIRST = (ADAPTIVE, *SHAPES)
_ALL_MODES = frozenset(Mode) - {Mode.DRAFT}
_FRAME_MODES = frozenset({Mode.TEXT, Mode.FIRST, Mode.BOTH})

_PRO_1_0 = Family(
    name="seedance-1-0-pro",
    modes=_FRAME_MODES,
    pixels=PIXELS_1_0,
    resolution="1080p",
    ratios={Mode.TEXT: SHAPES, Mode.FIRST: _ADAPTIVE_FIRST, Mode.BOTH: _ADAPTIVE_FIRST, Mode.REFERENCE: RATIOS},
    gateway_ratios=frozenset({"9:21", "keep_ratio"}),  # YEScale documents both
    seconds=(2, 12),
    takes=frozenset({"frames", "camera_fixed", "service_tier"}),
)
_LITE = replace(_PRO_1_0, resolution="720p", ends="2026-05-13")
_PRO_2_0 = Family(
    name="seedance-2-0",
    modes=_ALL_MODES,
    pixels=PIXELS_2_0,
    resolutions=("480p", "720p", "1080p", "4k"),
    ratios=dict.fromkeys(Mode, _ADAPTIVE_FIRST),
    seconds=(4, 15),
    chooses_duration=True,
    takes=frozenset({"generate_audio", "priority", "tools"}),
    images=9,
    videos=3,
    audios=3,
    input_s=15,
)

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        replace(_LITE, name="seedance-1-0-lite-t2v", modes=frozenset({Mode.TEXT})),
        replace(
            _LITE,
            name="seedance-1-0-lite-i2v",
            modes=_ALL_MODES - {Mode.TEXT},
            reference_resolutions=("480p", "720p"),
            images=4,
        ),
        _PRO_1_0,
        replace(_PRO_1_0, name="seedance-1-0-pro-fast", modes=_FRAME_MODES - {Mode.BOTH}, last_frame_doubtful=True),
        Family(
            name="seedance-1-5-pro",
            modes=_FRAME_MODES,
            pixels=PIXELS_1_5,
            ratios=dict.fromkeys(Mode, _ADAPTIVE_FIRST),
            seconds=(4, 12),
            chooses_duration=True,
            takes=frozenset({"camera_fixed", "service_tier", "generate_audio", "draft"}),
            draft_percent=60,
            ends="2026-11-11",
        ),
        _PRO_2_0,
        replace(_PRO_2_0, name="seedance-2-0-fast", resolutions=("480p", "720p")),
        replace(_PRO_2_0, name="seedance-2-0-mini", resolutions=("480p", "720p")),
        replace(
            _PRO_2_0,
            name="seedance-2-5",
            pixels=PIXELS_2_5,
            resolutions=("480p", "720p", "1080p"),
            seconds=(4, 30),
            duration=-1,
            takes=_PRO_2_0.takes | {"draft", "output_format", "omni_reference_task_type"},
            images=30,
            videos=10,
            audios=10,
            audio_alone=True,
            input_s=30,
            bound_to_input=True,
        ),
    )
}
