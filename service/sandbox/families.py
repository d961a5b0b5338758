"""What the model families accept and how large their pictures are: enough for Ark's strict answers and exact usage.

Written for this simulation from the same documents as the service's own catalog, and never shared with it: two readings
that disagree show a mistake. A model whose name holds no known family (an endpoint id, a newer model) meets no limits of a family.
"""

from dataclasses import dataclass

FPS = 24
RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")

_PIXELS = {
    ("1.0", "480p"): "864x480 736x544 640x640 544x736 480x864 960x416",
    ("1.0", "720p"): "1248x704 1120x832 960x960 832x1120 704x1248 1504x640",
    ("1.0", "1080p"): "1920x1088 1664x1248 1440x1440 1248x1664 1088x1920 2176x928",
    ("2.0", "480p"): "864x496 752x560 640x640 560x752 496x864 992x432",
    ("2.0", "720p"): "1280x720 1112x834 960x960 834x1112 720x1280 1470x630",
    ("2.0", "1080p"): "1920x1080 1664x1248 1440x1440 1248x1664 1080x1920 2206x946",
    ("2.0", "4k"): "3840x2160 3326x2494 2880x2880 2494x3326 2160x3840 4398x1886",
    ("2.5", "480p"): "854x480 752x560 640x640 560x752 480x854 992x432",
}


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    series: str
    """1.0, 1.5, 2.0, 2.5; or `?` for a model nobody knows."""
    shortest_s: int
    longest_s: int
    default_s: int
    chooses: bool
    """Takes -1: the model decides how long."""
    resolutions: tuple[str, ...]
    default_resolution: str
    modes: tuple[str, ...]
    """text, first, first_last, reference."""
    reference_images: int = 0
    reference_media: int = 0
    """Videos, and audios."""

    @property
    def modern(self) -> bool:
        return self.series in ("2.0", "2.5", "?")


_HD = ("480p", "720p", "1080p")
_FRAMES = ("text", "first", "first_last")
_ALL = (*_FRAMES, "reference")
_FAMILIES = (
    # the more special name first: the first that is part of a model's name is its family
    Family("seedance-1-0-lite-t2v", "1.0", 2, 12, 5, False, _HD, "720p", ("text",)),
    Family("seedance-1-0-lite-i2v", "1.0", 2, 12, 5, False, _HD, "720p", ("first", "first_last", "reference"), 4),
    Family("seedance-1-0-pro-fast", "1.0", 2, 12, 5, False, _HD, "1080p", _FRAMES),
    Family("seedance-1-0-pro", "1.0", 2, 12, 5, False, _HD, "1080p", _FRAMES),
    Family("seedance-1-5-pro", "1.5", 4, 12, 5, True, _HD, "720p", _FRAMES),
    Family("seedance-2-0-fast", "2.0", 4, 15, 5, True, ("480p", "720p"), "720p", _ALL, 9, 3),
    Family("seedance-2-0-mini", "2.0", 4, 15, 5, True, ("480p", "720p"), "720p", _ALL, 9, 3),
    Family("seedance-2-0", "2.0", 4, 15, 5, True, (*_HD, "4k"), "720p", _ALL, 9, 3),
    Family("seedance-2-5", "2.5", 4, 30, -1, True, _HD, "720p", _ALL, 30, 10),
)
_UNKNOWN = Family("unknown", "?", 1, 60, 5, True, (*_HD, "4k"), "720p", _ALL, 30, 10)


def family_of(model: str) -> Family:
    return next((family for family in _FAMILIES if family.name in model), _UNKNOWN)


def size(family: Family, resolution: str, ratio: str) -> tuple[int, int]:
    """YEScale's 9:21, which no table holds, is taken for 21:9 on its side."""
    if ratio == "9:21":
        height, width = size(family, resolution, "21:9")
        return width, height
    own = "2.0" if family.series in ("1.5", "?") else family.series
    row = _PIXELS.get((own, resolution)) or _PIXELS["2.0", resolution]
    width_text, _, height_text = row.split()[RATIOS.index(ratio)].partition("x")
    return int(width_text), int(height_text)


def tokens(width: int, height: int, frames: int) -> int:
    """The billed formula. How the real thing rounds is not documented; reference videos and the 2.0 minimum are not counted."""
    return width * height * frames // 1024
