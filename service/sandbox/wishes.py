"""What an order asks of the simulated world, in words inside its prompt: `a cat [fail]`, `a dog [lose:running] [repeat:3]`.

Words that are not in the table are ordinary text. Chance (`SandboxSettings.rates`) only adds to what the words say.
"""

import random
import re
from dataclasses import dataclass, replace
from typing import Any

from service.sandbox.settings import SandboxSettings

WORDS = {
    "fail": "[fail], [fail:CODE] end failed; without a code OutputVideoSensitiveContentDetected",
    "expire": "[expire] end expired",
    "stuck": "[stuck], [stuck:queued] never end: stay running, or queued",
    "slow": "[slow] take ten times as long",
    "word": "[word:STRANGE] say STRANGE instead of running",
    "lose": "[lose], [lose:running] send no callback, or not that one",
    "repeat": "[repeat], [repeat:N] send every callback twice, or N times",
    "reorder": "[reorder] hold the callbacks until the end, then send the last one first",
    "delay": "[delay:SECONDS] send every callback that much late",
    "garble": "[garble], [garble:running] send broken bodies, or only that one broken",
    "429": "[429], [429:N] the first order, or the first N, with this prompt is told to come back later",
    "reject": "[reject], [reject:CODE] refuse the order; without a code InputTextSensitiveContentDetected",
    "500": "[500] answer 500 and place nothing; [500:placed] place the job all the same",
    "timeout": "[timeout], [timeout:SECONDS] place the job, say nothing for two minutes (or SECONDS), cut the connection",
    "answer": "[answer:SECONDS] place the job and answer that much later: its callbacks overtake the answer",
    "forget": "[forget] know nothing of the job afterwards: 404 when asked; its callbacks still come",
    "flat": "[flat], [nested] at acedata: the flat or the Ark-like shape of a result (else both in turn)",
}
"""Every word, for people. The page at the root of the sandbox shows them."""

_WORD = re.compile(r"\[([a-z]+|429|500)(?::([^\]\s]{1,80}))?\]")
_EVERY = frozenset({"*"})
_REPEATS = 50
"""Copies of one callback at most."""
_REFUSALS = 1_000
"""Busy answers to one prompt at most."""
_SECONDS = 3_600.0
"""The longest delay a prompt may ask for."""

FAILURE = "OutputVideoSensitiveContentDetected"
REJECTION = "InputTextSensitiveContentDetected"


@dataclass(frozen=True, slots=True)
class Wish:
    fail: str | None = None
    expire: bool = False
    stuck: str | None = None
    """The status it stays in."""
    slow: bool = False
    word: str | None = None
    lose: frozenset[str] = frozenset()
    """Statuses whose callbacks get lost; `*` is every one."""
    garble: frozenset[str] = frozenset()
    repeat: int = 1
    reorder: bool = False
    delay_s: float = 0.0
    busy: int = 0
    reject: str | None = None
    error: str | None = None
    """`nothing` or `placed`: what an answer of 500 leaves behind."""
    hang_s: float | None = None
    answer_s: float = 0.0
    forget: bool = False
    flat: bool | None = None

    def loses(self, status: str) -> bool:
        return bool(self.lose & {status, "*"})

    def garbles(self, status: str) -> bool:
        return bool(self.garble & {status, "*"})


def read(text: str, hang_s: float = 120.0) -> Wish:
    wish = Wish()
    for word, value in _WORD.findall(text):
        wish = _add(wish, word, value, hang_s)
    return wish


def _add(wish: Wish, word: str, value: str, hang_s: float) -> Wish:
    match word:
        case "fail":
            return replace(wish, fail=value or FAILURE)
        case "expire" | "slow" | "reorder" | "forget":
            switched_on: dict[str, Any] = {word: True}
            return replace(wish, **switched_on)
        case "stuck":
            return replace(wish, stuck="queued" if value == "queued" else "running")
        case "word" if value:
            return replace(wish, word=value)
        case "lose":
            return replace(wish, lose=wish.lose | ({value} if value else _EVERY))
        case "garble":
            return replace(wish, garble=wish.garble | ({value} if value else _EVERY))
        case "repeat":
            return replace(wish, repeat=_count(value, 2, _REPEATS))
        case "delay":
            return replace(wish, delay_s=_seconds(value, 1.0))
        case "429":
            return replace(wish, busy=_count(value, 1, _REFUSALS))
        case "reject":
            return replace(wish, reject=value or REJECTION)
        case "500":
            return replace(wish, error="placed" if value == "placed" else "nothing")
        case "timeout":
            return replace(wish, hang_s=_seconds(value, hang_s))
        case "answer":
            return replace(wish, answer_s=_seconds(value, 1.0))
        case "flat" | "nested":
            return replace(wish, flat=word == "flat")
        case _:
            return wish


def _count(value: str, otherwise: int, most: int) -> int:
    return min(int(value), most) if value.isdecimal() and len(value) < 7 else otherwise


def _seconds(value: str, otherwise: float) -> float:
    return min(float(value), _SECONDS) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value) else otherwise


def draw(wish: Wish, settings: SandboxSettings, rng: random.Random) -> Wish:
    """Adds what chance does to a whole job. Lost, repeated and garbled callbacks are drawn one by one, when they are sent."""

    def hit(name: str) -> bool:
        return settings.rates.get(name, 0.0) > rng.random()

    if not settings.rates:
        return wish
    if hit("fail"):
        wish = replace(wish, fail=wish.fail or FAILURE)
    if hit("expire"):
        wish = replace(wish, expire=True)
    if hit("stuck"):
        wish = replace(wish, stuck=wish.stuck or "running")
    if hit("reorder"):
        wish = replace(wish, reorder=True)
    if hit("forget"):
        wish = replace(wish, forget=True)
    if hit("reject"):
        wish = replace(wish, reject=wish.reject or REJECTION)
    if hit("error"):
        wish = replace(wish, error=wish.error or rng.choice(("nothing", "placed")))
    if hit("timeout"):
        wish = replace(wish, hang_s=settings.hang_s if wish.hang_s is None else wish.hang_s)
    return wish
