"""The older way to ask: parameters written into the prompt, `a cat --ratio 16:9 --dur 5`.

Ark reads them weakly (a wrong value may become a default, and is paid for), so they are read here and held to the same
rules as fields. They stay in the text that is sent. Which of the two wins when they differ is documented nowhere:
differing is a fault.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.domain.errors import Fault
from service.domain.order import Item, Order

FIELDS: Mapping[str, str] = {
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
FPS = 24
"""The only frame rate there is."""

_WORDS = frozenset({"resolution", "ratio"})
_SWITCHES = frozenset({"camera_fixed", "watermark"})
_SHOWN = 40
"""Characters of a caller's value that a message repeats."""

# A known name between blanks; Chinese prompts often put no blank before it. Anything else with dashes is prose.
_FLAG = re.compile(rf"(?<![A-Za-z0-9-])--({'|'.join(FIELDS)})(?:=(\S*)|(?=\s|$)(?:\s+(?!--)(\S+))?)")
_INTEGER = re.compile(r"-?[0-9]{1,12}")
_GAP = re.compile(r"[ \t]{2,}")

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Flag:
    field: str
    """The order's field of the same meaning; `framespersecond` has none."""
    value: Value
    typed: str
    """As it stands in the text."""


@dataclass(frozen=True, slots=True)
class Reading:
    plain: str
    """The text without its flags."""
    flags: tuple[Flag, ...]
    faults: tuple[Fault, ...]


def read(text: str, path: str = "prompt") -> Reading:
    flags: list[Flag] = []
    faults: list[Fault] = []
    if "--" not in text:  # most have none
        return Reading(_GAP.sub(" ", text).strip(), (), ())
    for found in _FLAG.finditer(text):
        name, glued, word = found.groups()
        if glued is not None:
            faults.append(Fault(path, f"--{name} takes its value after a blank: write `--{name} {glued[:_SHOWN]}`."))
        elif word is None:
            faults.append(Fault(path, f"--{name} has no value: add one or take the flag out."))
        elif (value := _value(FIELDS[name], word)) is None:
            faults.append(Fault(path, f"--{name} {word[:_SHOWN]} is no value for it: write {_expected(FIELDS[name])}."))
        else:
            flags.append(Flag(FIELDS[name], value, f"--{name} {word[:_SHOWN]}"))
    plain = _GAP.sub(" ", _FLAG.sub("", text)).strip()
    return Reading(plain, tuple(flags), tuple(faults))


def _value(field: str, word: str) -> Value | None:
    if field in _WORDS:
        return word
    if field in _SWITCHES:
        return {"true": True, "false": False}.get(word)
    if not _INTEGER.fullmatch(word):
        return None
    number = int(word)
    return None if field == "framespersecond" and number != FPS else number


def _expected(field: str) -> str:
    if field in _SWITCHES:
        return "true or false"
    return str(FPS) if field == "framespersecond" else "a whole number"


@dataclass(frozen=True, slots=True)
class Merged:
    """An order with its flags moved into its fields, so that one set of rules judges both."""

    order: Order
    plain: str
    """All its text without flags."""
    faults: tuple[Fault, ...]
    origins: Mapping[str, tuple[str, str]]
    """Field that a flag filled → where the flag stands and how it was typed."""

    def locate(self, fault: Fault) -> Fault:
        """The same fault, at the place where the caller wrote what is wrong."""
        if fault.field not in self.origins:
            return fault
        path, typed = self.origins[fault.field]
        return Fault(path, f"{typed}: {fault.message}")


def merge(order: Order) -> Merged:
    faults: list[Fault] = []
    plain: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, tuple[str, str]] = {}
    for path, text in _texts(order):
        reading = read(text, path)
        plain.append(reading.plain)
        faults += reading.faults
        for flag in reading.flags:
            if flag.field == "framespersecond":
                continue
            field = getattr(order, flag.field)
            if field is not None and field != flag.value:
                faults.append(
                    Fault(path, f"{flag.typed} contradicts the field {flag.field} ({_shown(field)}): keep one of them.")
                )
            elif values.setdefault(flag.field, flag.value) != flag.value:
                faults.append(Fault(path, f"{flag.typed} contradicts {origins[flag.field][1]}: keep one of them."))
            elif field is None:
                origins.setdefault(flag.field, (path, flag.typed))
    filled = replace(order, **{name: values[name] for name in origins}) if origins else order
    return Merged(filled, " ".join(filter(None, plain)), tuple(faults), origins)


def _texts(order: Order) -> list[tuple[str, str]]:
    items: list[tuple[str, Item]] = [(f"content[{i}].text", item) for i, item in enumerate(order.content)]
    texts = [(path, item.value) for path, item in items if item.type == "text"]
    return texts if order.prompt is None else [("prompt", order.prompt), *texts]


def _shown(value: object) -> str:
    return (str(value).lower() if isinstance(value, bool) else str(value))[:_SHOWN]
