"""Headers that a subscriber adds to its webhooks: bounded, of one line each, and never in the place of ours."""

import re
from collections.abc import Iterator, Mapping

from service.domain.errors import Fault

COUNT_LIMIT = 20
NAME_LIMIT = 64
VALUE_LIMIT = 1_024
"""20 headers of these lengths stay well under the 32 KiB at which common servers refuse a request."""

OURS = frozenset(
    [
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "accept-encoding",
        "user-agent",
    ]
)
"""What frames the message, and what says who sends it."""
OUR_PREFIXES = ("webhook-", "proxy-", "ce-")
"""The signature; a proxy's business; the attributes of a CloudEvent."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")


def check_headers(headers: Mapping[str, str]) -> list[Fault]:
    """What is wrong with them, before they are saved. Values are secrets and are not repeated."""
    found = [] if len(headers) <= COUNT_LIMIT else [Fault("headers", f"at most {COUNT_LIMIT} of them")]
    seen: set[str] = set()
    for name, value in headers.items():
        field, lower = f"headers.{name[:NAME_LIMIT]}", name.lower()
        if not _good_name(name):
            found.append(Fault(field, f"a name is 1 to {NAME_LIMIT} letters, digits and hyphens"))
        elif _is_ours(lower):
            found.append(Fault(field, "is set by the service itself"))
        elif lower in seen:
            found.append(Fault(field, "is there twice; names do not differ by case"))
        if not _good_value(value):
            found.append(Fault(field, f"a value is one line of at most {VALUE_LIMIT:,} ASCII characters, no blanks around it"))
        seen.add(lower)
    return found


def allowed(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What may be sent. They were checked when saved; whatever slipped in since is left out and not trusted."""
    for name, value in headers.items():
        if _good_name(name) and not _is_ours(name.lower()) and _good_value(value):
            yield name, value


def _is_ours(lower: str) -> bool:
    return lower in OURS or lower.startswith(OUR_PREFIXES)


def _good_name(name: str) -> bool:
    return len(name) <= NAME_LIMIT and _NAME.fullmatch(name) is not None


def _good_value(value: str) -> bool:
    return len(value) <= VALUE_LIMIT and _VALUE.fullmatch(value) is not None
