"""Parameters written into the prompt, `--ratio 16:9 --dur 5`: the legacy way of Ark, the only way of some gateways."""

import re
from typing import Any

_FLAG = re.compile(r"--([a-z]+)\s+(\S+)")
NAMES = {
    "rs": "resolution",
    "resolution": "resolution",
    "rt": "ratio",
    "ratio": "ratio",
    "dur": "duration",
    "duration": "duration",
    "frames": "frames",
    "fps": "framespersecond",
    "framespersecond": "framespersecond",
    "seed": "seed",
    "cf": "camera_fixed",
    "camerafixed": "camera_fixed",
    "wm": "watermark",
    "watermark": "watermark",
}


def read(text: str) -> dict[str, str]:
    """By the name of the body's field; the last one stands. Other `--words` are ordinary text."""
    return {NAMES[name]: value for name, value in _FLAG.findall(text) if name in NAMES}


def typed(flags: dict[str, str]) -> dict[str, Any]:
    """As the body would hold them. A number or switch that is none stays text, and the check of its field refuses it."""
    return {name: _typed(name, value) for name, value in flags.items()}


def _typed(name: str, value: str) -> Any:
    match name, value:
        case (("camera_fixed" | "watermark"), ("true" | "false")):
            return value == "true"
        case (("duration" | "frames" | "seed" | "framespersecond"), _) if re.fullmatch(r"-?\d{1,10}", value):
            return int(value)
        case _:
            return value
