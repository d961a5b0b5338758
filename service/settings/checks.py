"""What each single variable may be. A wrong one adds a fault and is read as its default, so that all are named at once."""

import ipaddress
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import SplitResult, urlsplit

from service.domain.errors import Fault
from service.domain.keep import Keep
from service.settings.model import AccountSettings
from service.settings.variables import KEEP_LIMIT, KEPT, PROVIDERS, VARIABLES

DEFAULT_DATABASE = VARIABLES[0].default


def choice(env: Mapping[str, str], name: str, allowed: Sequence[str], faults: list[Fault]) -> str:
    value = env.get(name) or allowed[0]
    if value not in allowed:
        faults.append(Fault(name, f"is {value!r}; it has to be one of {', '.join(allowed)}"))
        return allowed[0]
    return value


def port(text: str, faults: list[Fault]) -> int:
    if text.isascii() and text.isdigit() and 0 <= int(text) < 65_536:
        return int(text)
    faults.append(Fault("PORT", f"is {text!r}; it has to be a number from 0 to 65535"))
    return 8000


def database(url: str, faults: list[Fault]) -> str:
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///") and "?" not in url:
        return url
    try:
        if urlsplit(url).port != 0 and url.startswith(("postgresql://", "postgres://", "postgresql+asyncpg://")):
            return url
    except ValueError:
        pass
    faults.append(
        Fault("CALLSHEET_DATABASE_URL", "has to be sqlite:///path/to/file.db or postgresql://user:password@host/name")
    )
    return DEFAULT_DATABASE


def public(url: str, production: bool, faults: list[Fault]) -> str:
    parts = address(url)
    if parts is None or parts.query or parts.fragment or parts.username is not None:
        faults.append(
            Fault("CALLSHEET_PUBLIC_URL", "has to be an address like https://callsheet.example.com, and nothing more")
        )
    elif production and parts.scheme != "https":
        faults.append(Fault("CALLSHEET_PUBLIC_URL", "has to be https in production: callbacks carry their token in the path"))
    return url.rstrip("/")


def address(url: str) -> SplitResult | None:
    """None for what is no http(s) address."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to be checked
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def listed(env: Mapping[str, str], name: str, kept: str | None, faults: list[Fault]) -> list[str]:
    keys = [k for k in (part.strip() for part in (env.get(name) or kept or "").split(",")) if k]
    if not keys:
        faults.append(Fault(name, "is required"))
    return keys


def kept_days(env: Mapping[str, str], faults: list[Fault]) -> Keep:
    days: dict[str, int] = {}
    for name in KEPT:
        variable = f"CALLSHEET_KEEP_{name.upper()}_DAYS"
        text = env.get(variable) or ""
        if text.isascii() and text.isdigit() and 1 <= int(text) <= KEEP_LIMIT:
            days[name] = int(text)
        elif text:
            faults.append(Fault(variable, f"is {text!r}; it has to be a number of days from 1 to {KEEP_LIMIT:,}"))
    return Keep(**days)


def routed(text: str, accounts: Sequence[AccountSettings], faults: list[Fault]) -> list[str]:
    route = [name for name in (part.strip().lower() for part in text.split(",")) if name]
    on = {a.provider for a in accounts}
    for name in route:
        if name not in PROVIDERS:
            faults.append(Fault("CALLSHEET_ROUTE", f"names {name!r}; known: {', '.join(PROVIDERS)}"))
        elif name not in on:
            faults.append(Fault("CALLSHEET_ROUTE", f"names {name!r}, which is not on: set CALLSHEET_{name.upper()}_API_KEY"))
    return route


def networks(text: str, faults: list[Fault]) -> list[IPv4Network | IPv6Network]:
    networks = []
    for part in (p.strip() for p in text.split(",")):
        if part:
            try:
                networks.append(ipaddress.ip_network(part, strict=False))
            except ValueError:
                faults.append(Fault("CALLSHEET_EGRESS_ALLOW", f"{part!r} is no network; write e.g. 10.0.0.0/8"))
    return networks
