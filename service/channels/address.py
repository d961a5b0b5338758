"""What a subscriber's address may look like, and how people see it.

Absent on purpose: where it leads. Names change; the guarded transport checks addresses at every connection.
"""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from service.domain.errors import Fault
from service.wire import address

URL_LIMIT = 2_048
"""Characters; the longest that every proxy and log on the way is known to carry."""

DOTS = "…"


def faults(url: str, schemes: Sequence[str] = ("https", "http")) -> list[Fault]:
    """Empty: it is an address a request can be made for."""
    parts = _split(url)
    if parts is None:
        return [_target(f"has to be a web address of at most {URL_LIMIT:,} visible characters, e.g. https://example.com/hook")]
    found = []
    if parts.scheme not in schemes:
        found.append(_target(f"has to start with {' or '.join(s + '://' for s in schemes)}"))
    if parts.username is not None:
        found.append(_target("may not carry a name and password; send them as a header instead"))
    if parts.fragment:
        found.append(_target("may not have a fragment (#…): it is never sent"))
    return found


def hook_faults(url: str, options: Mapping[str, str], hosts: str, genuine: Callable[[SplitResult], bool]) -> list[Fault]:
    """The rules of chat services: their own hosts over https, or the relay that `options["host"]` names."""
    found = [Fault(f"options.{name}", "is not an option of this channel") for name in options if name != "host"]
    relay = options.get("host")
    wrong = faults(url, ("https",) if relay is None else ("https", "http"))
    if not wrong:
        parts = urlsplit(url)
        host_port = parts.netloc.lower()
        if relay is not None and relay.lower() not in (parts.hostname, host_port):
            wrong = [_target("does not lead to the host that options.host names")]
        elif relay is None and not genuine(parts):
            wrong = [_target(f"has to be {hosts}; for a relay of your own, name its host in options.host")]
    return found + wrong


def masked(url: str) -> str:
    """Host and path stay; name, password and the values of the query go."""
    parts = _split(url)
    if parts is None:
        return DOTS
    # A part without a name is all value.
    query = "&".join(f"{part.partition('=')[0]}={DOTS}" if "=" in part else DOTS for part in parts.query.split("&"))
    return f"{_origin(parts)}{parts.path}" + (f"?{query}" if parts.query else "")


def origin_only(url: str) -> str:
    """For addresses that are a secret in their path."""
    parts = _split(url)
    return DOTS if parts is None else f"{_origin(parts)}/{DOTS}"


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _split(url: str) -> SplitResult | None:
    if len(url) > URL_LIMIT or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(parts.hostname) and bool(parts.scheme) and bool(address(url).host)
    except ValueError:
        return None
    return parts if usable else None


def _target(message: str) -> Fault:
    return Fault("target", message)
