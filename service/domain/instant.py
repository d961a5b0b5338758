"""Instants as text: RFC 3339 UTC, to the millisecond."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4_096)
def rfc3339(at: int) -> str:
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(4_096)
def _second(at_s: int) -> str:
    """Most instants that are shown lie within the same few seconds."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def maybe(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def parse(text: str) -> int | None:
    """None for what is not an RFC 3339 instant with a zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if parsed.tzinfo is None else (parsed - _EPOCH) // timedelta(milliseconds=1)  # a float would lose some
