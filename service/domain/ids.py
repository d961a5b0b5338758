"""Names of rows: 63-bit integers that grow with time inside, short prefixed words outside (`task_0d3kx…`)."""

from collections.abc import Callable

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no letter that reads like a digit."""
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
"""Two letters at a time: every notice and every answer names something."""
_WIDTH = 13
EPOCH_MS = 1_577_836_800_000
"""2020-01-01: 42 bits of milliseconds last until 2159."""
_RANDOM_BITS = 21
LAST_ID = (1 << 63) - 1
"""No name is above it."""

TASK, SUBMISSION, EVENT, DELIVERY, SUBSCRIPTION, KEY, RECEIPT, JOB = "task", "sbm", "evt", "msg", "sub", "key", "rcp", "job"
"""`msg`: a delivery's name is also its `webhook-id`, so that a subscriber can look up what it received."""


def encode(prefix: str, value: int) -> str:
    p = _PAIRS
    return (
        f"{prefix}_{ALPHABET[value >> 60]}{p[value >> 50 & 1023]}{p[value >> 40 & 1023]}{p[value >> 30 & 1023]}"
        f"{p[value >> 20 & 1023]}{p[value >> 10 & 1023]}{p[value & 1023]}"
    )


def decode(prefix: str, text: str) -> int | None:
    """None for anything that `encode` did not make."""
    head, _, body = text.partition("_")
    if head != prefix or len(body) != _WIDTH:
        return None
    value = 0
    for letter in body:
        digit = _VALUES.get(letter)
        if digit is None:
            return None
        value = value << 5 | digit
    return value if value <= LAST_ID else None


class Ids:
    """Grows strictly within a process, whatever the clock does; `floor` carries that over a restart.

    Two processes may pick the same number (about one in a million per shared millisecond): the primary key refuses it
    and the group commit tries that item again with a new one.
    """

    def __init__(self, clock_ms: Callable[[], int], random: Callable[[], float], floor: int = 0) -> None:
        self._clock_ms, self._random, self._last = clock_ms, random, floor
        self._drawn_ms = 0

    def raise_floor(self, floor: int) -> None:
        self._last = max(self._last, floor)

    def new(self) -> int:
        now_ms, name = self._clock_ms(), self._last + 1
        if now_ms != self._drawn_ms:
            self._drawn_ms = now_ms
            name = max(name, (now_ms - EPOCH_MS) << _RANDOM_BITS | int(self._random() * (1 << (_RANDOM_BITS - 1))))
        self._last = name
        return name


def first_id_at(instant_ms: int) -> int:
    """The lowest id that could have been drawn at that instant: time filters become id ranges. An instant that no id will
    ever reach is above all of them."""
    return min(max(0, instant_ms - EPOCH_MS) << _RANDOM_BITS, LAST_ID)
