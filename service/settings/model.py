"""The settings themselves: frozen, and complete once they exist. They read nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from service.domain.keep import Keep


def local_url(host: str, port: int | str) -> str:
    """Where a process that listens there can be called from the same machine."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (told apart, not bound)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def keys_path(database_url: str) -> Path:
    """Beside an embedded database, so that both are kept, moved and thrown away together."""
    if database_url.startswith("sqlite:///"):
        return Path(database_url.removeprefix("sqlite:///")).parent / "keys.json"
    return Path("var/keys.json")


@dataclass(frozen=True, slots=True)
class AccountSettings:
    provider: str
    name: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    callbacks: str | None = None
    """every, endings or none; None: as the gateway documents."""
    options: Mapping[str, str] = field(default_factory=dict)
    in_flight: int | None = None
    per_minute: int | None = None
    """None: as the gateway's facts say."""
    quiet_s: float | None = None
    """None: by what the gateway calls back, and by what was learned."""
    confirm_endings: bool = False
    """An ending that a callback claims is not believed until the gateway was asked. Every gateway here can be."""


@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str = field(repr=False)
    public_url: str
    host: str
    port: int
    signing_keys: Sequence[str] = field(repr=False)
    encryption_keys: Sequence[str] = field(repr=False)
    admin_key: str = field(repr=False)
    production: bool
    route: Sequence[str]
    egress_allow: Sequence[IPv4Network | IPv6Network]
    accounts: Sequence[AccountSettings]
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    keep: Keep = field(default_factory=Keep)
    pooled: bool = False
    """Between us and PostgreSQL is a pooler that knows transactions only."""

    @property
    def sqlite_path(self) -> str | None:
        return self.database_url.removeprefix("sqlite:///") if self.database_url.startswith("sqlite") else None

    @property
    def folder(self) -> Path:
        """Where this installation keeps its files."""
        return keys_path(self.database_url).parent

    @property
    def own_url(self) -> str:
        """Where this process reaches itself: an address to listen on need not be one to call."""
        return local_url(self.host, self.port)

    @property
    def sandboxed(self) -> bool:
        """No provider is configured: the sandbox plays one."""
        return not self.accounts and not self.production
