"""Values out of foreign JSON: each function takes whatever came and gives a usable value or None, and never raises.

What is optional and of a wrong type is left out, as if it had not been said. Absent on purpose: what any gateway's fields
are called.
"""

import math
import re

from service.wire import NotJSON, clean, parse

ADDRESS_LIMIT = 8_192
"""Characters of a URL. Signed storage URLs are under 2 KB; browsers and proxies stop at about 8 KB."""

REMOTE_ID_LIMIT = 200
"""Characters of a gateway's name for a task. The longest documented ones are under 60."""

WORD_LIMIT = 60
"""Characters of a status word, a ratio, a resolution."""

CODE_LIMIT = 120
MESSAGE_LIMIT = 1_000
"""Characters of an error that people read; the raw body is kept elsewhere."""

LATEST_S = 4_102_444_800
"""The year 2100: a larger instant is milliseconds or nonsense."""

WHOLE_LIMIT = 2**53
"""Beyond this, JSON numbers lose digits on their way through other languages."""

_ADDRESS = re.compile(r"https?://[^\s/?#\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*", re.IGNORECASE)
# Printable ASCII without spaces, and not only dots: it becomes one segment of a path.
_REMOTE_ID = re.compile(rf"(?!\.+$)[!-~]{{1,{REMOTE_ID_LIMIT}}}")
# Providers quote what they were sent: keys, and callback addresses, which hold a token.
_SECRET = re.compile(r"(\bsk-|\bbearer\s+|/callbacks/[\w-]+/)[^\s\"'<>,;)]+", re.IGNORECASE)


def parsed(body: bytes) -> object:
    """None for what is not JSON: `null` says as little."""
    try:
        value: object = parse(body)
    except NotJSON:
        return None
    return value


def words(value: object, limit: int = WORD_LIMIT) -> str | None:
    """Text for people, without secrets."""
    if not isinstance(value, str):
        return None
    return _SECRET.sub(r"\1…", clean(value, limit)).strip() or None


def remote_id(value: object) -> str | None:
    return value if isinstance(value, str) and _REMOTE_ID.fullmatch(value) else None


def address(value: object) -> str | None:
    """Only what a person can open: http and https. Nothing is trimmed or repaired, a signature may depend on it."""
    if not isinstance(value, str) or len(value) > ADDRESS_LIMIT or not _ADDRESS.fullmatch(value):
        return None
    return value if value.isascii() or clean(value, ADDRESS_LIMIT) == value else None


def whole(value: object, least: int = 0) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if least <= value <= WHOLE_LIMIT else None


def seconds(value: object) -> float | None:
    """A length of time; a day is more than any clip."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and 0 <= value <= 86_400 else None


def instant(value: object) -> int | None:
    """Unix seconds, whole or not, as milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value * 1000) if math.isfinite(value) and 0 < value < LATEST_S else None
