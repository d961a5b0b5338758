"""Instants as text: RFC 3339 UTC, to the millisecond."""

from datetime import UTC, datetime


def rfc3339(at: int) -> str:
    return f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"


def maybe(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def parse(text: str) -> int | None:
    """None for what is not an RFC 3339 instant with a zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if parsed.tzinfo is None else int(parsed.timestamp() * 1000)
