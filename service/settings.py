"""Environment → frozen `Settings`. The only reader of the environment; every wrong variable is named at once.

`VARIABLES` is the documentation: `callsheet settings` and the README's table are made from it.
"""

import ipaddress
import json
import os
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography.fernet import Fernet

from service.domain.catalog import Catalog
from service.domain.errors import ConfigError, Fault
from service.domain.keep import Keep
from service.domain.route import NAME

PROVIDERS = ("ark", "byteplus", "agentsflare", "acedata", "yescale", "pixazo", "apiyi")
NEEDS_BASE_URL = {"yescale"}
ACCOUNT_KEYS = {
    "name",
    "api_key",
    "api_key_env",
    "base_url",
    "callbacks",
    "options",
    "in_flight",
    "per_minute",
    "quiet_s",
    "confirm_endings",
}
"""Of one account in the file, besides its provider; infra/callsheet.example.toml says what each means."""
QUIET_S = (0.1, 86_400)
"""How soon silence of an account may be taken for abnormal: asking is bounded by the gateway's limits besides."""


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    default: str
    meaning: str
    secret: bool = False


KEPT = {
    "tasks": "ended tasks, with everything that belongs to them",
    "events": "what happened, and the deliveries that told of it",
    "receipts": "callbacks and answers as they arrived",
    "attempts": "what subscribers answered, and when",
    "payloads": "whole orders of ended tasks, inline pictures included",
    "keys": "idempotency keys",
}
KEEP_LIMIT = 3_650

VARIABLES = (
    Variable("CALLSHEET_DATABASE_URL", "sqlite:///var/callsheet.db", "or `postgresql://…`"),
    Variable(
        "CALLSHEET_DATABASE_POOLER",
        "none",
        "`transaction`: a pooler like PgBouncer gives each transaction another connection of the database",
    ),
    Variable("CALLSHEET_PUBLIC_URL", "http://127.0.0.1:$PORT", "what providers can reach; goes into callback URLs"),
    Variable("HOST", "127.0.0.1", "address to listen on"),
    Variable("PORT", "8000", "port to listen on"),
    Variable(
        "CALLSHEET_SIGNING_KEYS", "made on first run", "comma-separated, oldest first; signs with the last, accepts all", True
    ),
    Variable(
        "CALLSHEET_ENCRYPTION_KEYS", "made on first run", "Fernet keys, comma-separated, oldest first; secrets at rest", True
    ),
    Variable("CALLSHEET_ADMIN_KEY", "made on first run", "the operator's API key", True),
    Variable("CALLSHEET_API_KEY", "the operator's", "the key that the command line shows to the service", True),
    Variable("CALLSHEET_ENV", "development", "`production` refuses made-up keys, plain-http public URLs and the sandbox"),
    Variable("CALLSHEET_ROUTE", "all configured", "providers to try, in order, e.g. `apiyi,agentsflare`"),
    Variable("CALLSHEET_EGRESS_ALLOW", "", "private networks that subscribers' URLs may lead to, e.g. `127.0.0.0/8`"),
    Variable(
        "CALLSHEET_CONFIG",
        "",
        "a TOML file: several accounts of one gateway, callbacks, patience, limits, options, models, prices",
    ),
    *(Variable(f"CALLSHEET_KEEP_{f.name.upper()}_DAYS", str(f.default), KEPT[f.name]) for f in fields(Keep)),
    Variable(
        "CALLSHEET_<NAME>_API_KEY",
        "",
        "turns a provider on; names: ARK, BYTEPLUS, AGENTSFLARE, ACEDATA, YESCALE, PIXAZO, APIYI",
        True,
    ),
    Variable("CALLSHEET_<NAME>_BASE_URL", "the gateway's own", "overrides its address; required for YESCALE"),
)


def local_url(host: str, port: int | str) -> str:
    """Where a process that listens there can be called from the same machine."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (told apart, not bound)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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


def load(env: Mapping[str, str] | None = None, *, make_keys: bool = True) -> Settings:
    """Raises ConfigError with every fault. `make_keys`: a first run in development may keep the keys it makes; otherwise
    they are forgotten, so that looking leaves nothing behind."""
    env = os.environ if env is None else env
    faults: list[Fault] = []
    production = _choice(env, "CALLSHEET_ENV", ("development", "production"), faults) == "production"
    port = _port(env.get("PORT") or "8000", faults)
    database_url = _database_url(env.get("CALLSHEET_DATABASE_URL") or VARIABLES[0].default, faults)
    public_url = _public_url(env.get("CALLSHEET_PUBLIC_URL") or f"http://127.0.0.1:{port}", production, faults)
    kept = {} if production else kept_keys(keys_path(database_url), make_keys and not faults)
    signing = _keys(env, "CALLSHEET_SIGNING_KEYS", kept.get("signing_keys"), faults)
    encryption = _keys(env, "CALLSHEET_ENCRYPTION_KEYS", kept.get("encryption_keys"), faults)
    for key in signing:
        if len(key) < 16:
            faults.append(Fault("CALLSHEET_SIGNING_KEYS", "each key needs at least 16 characters; use 32 random ones"))
    for key in encryption:
        try:
            Fernet(key)
        except ValueError:
            message = "each has to be 32 bytes in url-safe base64; make one with: python -m service keys fernet"
            faults.append(Fault("CALLSHEET_ENCRYPTION_KEYS", message))
    admin = env.get("CALLSHEET_ADMIN_KEY") or kept.get("admin_key") or ""
    if len(admin) < 16:
        faults.append(Fault("CALLSHEET_ADMIN_KEY", "is required and needs at least 16 characters"))
    config = _config(env.get("CALLSHEET_CONFIG", ""), faults)
    accounts = _accounts(env, config, faults)
    settings = Settings(
        database_url=database_url,
        public_url=public_url,
        host=env.get("HOST") or "127.0.0.1",
        port=port,
        signing_keys=signing,
        encryption_keys=encryption,
        admin_key=admin,
        production=production,
        route=_route(env.get("CALLSHEET_ROUTE", ""), accounts, faults),
        egress_allow=_networks(env.get("CALLSHEET_EGRESS_ALLOW", ""), faults),
        accounts=accounts,
        config=config,
        keep=_keep(env, faults),
        pooled=_choice(env, "CALLSHEET_DATABASE_POOLER", ("none", "transaction"), faults) == "transaction",
    )
    if production and not accounts:
        faults.append(
            Fault("CALLSHEET_<NAME>_API_KEY", "production needs at least one provider; the sandbox is for development")
        )
    if faults:
        raise ConfigError(faults)
    return settings


def keys_path(database_url: str) -> Path:
    """Beside an embedded database, so that both are kept, moved and thrown away together."""
    if database_url.startswith("sqlite:///"):
        return Path(database_url.removeprefix("sqlite:///")).parent / "keys.json"
    return Path("var/keys.json")


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a running service is, and with which key the command line speaks to it."""

    url: str
    key: str | None = field(repr=False)
    kept: bool
    """The key is the one that a first run made on this machine."""


def reach(env: Mapping[str, str] | None = None) -> Reach:
    """Checks nothing else: a fault in some other setting is the service's business."""
    env = os.environ if env is None else env
    local = local_url(env.get("HOST", ""), env.get("PORT") or 8000)
    key = env.get("CALLSHEET_API_KEY") or env.get("CALLSHEET_ADMIN_KEY")
    kept = None if key else _read_keys(keys_path(env.get("CALLSHEET_DATABASE_URL") or VARIABLES[0].default))
    return Reach((env.get("CALLSHEET_PUBLIC_URL") or local).rstrip("/"), key or (kept or {}).get("admin_key"), kept is not None)


def _read_keys(path: Path) -> dict[str, str] | None:
    try:
        kept = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError([Fault(str(path), f"holds the keys and cannot be read: {type(error).__name__}")]) from None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise ConfigError([Fault(str(path), "holds the keys and cannot be read: it has to be an object of texts")])
    return kept


def kept_keys(path: Path, make: bool) -> dict[str, str]:
    """The keys that a first run in development made; readable by their owner only."""
    kept = _read_keys(path)
    if kept is not None:
        return kept
    made = {
        "admin_key": "csa_" + secrets.token_urlsafe(24),
        "signing_keys": secrets.token_urlsafe(32),
        "encryption_keys": Fernet.generate_key().decode(),
    }
    if not make:
        return made
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = f"keys cannot be kept in {path.parent} ({error.strerror}): name a file in a folder that this user may write"
        raise ConfigError([Fault("CALLSHEET_DATABASE_URL", why)]) from None
    try:
        os.link(fresh, path)  # whoever is first wins, whole
    except FileExistsError:
        made = json.loads(path.read_text())
    finally:
        fresh.unlink()
    return made


def shown(env: Mapping[str, str], settings: Settings) -> list[tuple[str, str, str]]:
    """(variable, value with secrets masked, meaning) for people."""
    values = {
        "CALLSHEET_DATABASE_URL": _without_password(settings.database_url),
        "CALLSHEET_DATABASE_POOLER": "transaction" if settings.pooled else "none",
        "CALLSHEET_PUBLIC_URL": settings.public_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "CALLSHEET_ENV": "production" if settings.production else "development",
        "CALLSHEET_ROUTE": ",".join(settings.route) or "(all configured)",
        "CALLSHEET_EGRESS_ALLOW": ",".join(map(str, settings.egress_allow)),
        "CALLSHEET_CONFIG": env.get("CALLSHEET_CONFIG", ""),
        **{f"CALLSHEET_KEEP_{name.upper()}_DAYS": str(getattr(settings.keep, name)) for name in KEPT},
    }
    rows = []
    for variable in VARIABLES:
        if "<NAME>" in variable.name:
            for provider in PROVIDERS:
                name = variable.name.replace("<NAME>", provider.upper())
                if env.get(name):
                    rows.append((name, "(set)" if variable.secret else _without_password(env[name]), variable.meaning))
        elif variable.secret:
            unset = "(made and kept)" if variable.default == "made on first run" else f"({variable.default})"
            rows.append((variable.name, "(set)" if env.get(variable.name) else unset, variable.meaning))
        else:
            rows.append((variable.name, values[variable.name], variable.meaning))
    return rows


def _without_password(url: str) -> str:
    head, _, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    who, at, where = rest.rpartition("@")
    shown = f"{scheme}{separator}{who.partition(':')[0]}:…@{where}" if at and ":" in who else head
    return f"{shown}?…" if query else shown  # drivers take a password there as well


def _choice(env: Mapping[str, str], name: str, allowed: Sequence[str], faults: list[Fault]) -> str:
    value = env.get(name) or allowed[0]
    if value not in allowed:
        faults.append(Fault(name, f"is {value!r}; it has to be one of {', '.join(allowed)}"))
        return allowed[0]
    return value


def _port(text: str, faults: list[Fault]) -> int:
    if text.isascii() and text.isdigit() and 0 <= int(text) < 65_536:
        return int(text)
    faults.append(Fault("PORT", f"is {text!r}; it has to be a number from 0 to 65535"))
    return 8000


def _database_url(url: str, faults: list[Fault]) -> str:
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
    return VARIABLES[0].default


def _public_url(url: str, production: bool, faults: list[Fault]) -> str:
    parts = _address(url)
    if parts is None or parts.query or parts.fragment or parts.username is not None:
        faults.append(
            Fault("CALLSHEET_PUBLIC_URL", "has to be an address like https://callsheet.example.com, and nothing more")
        )
    elif production and parts.scheme != "https":
        faults.append(Fault("CALLSHEET_PUBLIC_URL", "has to be https in production: callbacks carry their token in the path"))
    return url.rstrip("/")


def _address(url: str) -> SplitResult | None:
    """None for what is no http(s) address."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to be checked
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def _keys(env: Mapping[str, str], name: str, kept: str | None, faults: list[Fault]) -> list[str]:
    keys = [k for k in (part.strip() for part in (env.get(name) or kept or "").split(",")) if k]
    if not keys:
        faults.append(Fault(name, "is required"))
    return keys


def _keep(env: Mapping[str, str], faults: list[Fault]) -> Keep:
    days: dict[str, int] = {}
    for name in KEPT:
        variable = f"CALLSHEET_KEEP_{name.upper()}_DAYS"
        text = env.get(variable) or ""
        if text.isascii() and text.isdigit() and 1 <= int(text) <= KEEP_LIMIT:
            days[name] = int(text)
        elif text:
            faults.append(Fault(variable, f"is {text!r}; it has to be a number of days from 1 to {KEEP_LIMIT:,}"))
    return Keep(**days)


def _config(path: str, faults: list[Fault]) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        parsed = tomllib.loads(Path(path).read_text())
    except OSError as error:
        faults.append(Fault("CALLSHEET_CONFIG", f"cannot be read: {error.strerror}"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault("CALLSHEET_CONFIG", f"is no TOML: {error}"))
    else:
        for name in parsed.keys() - {"accounts", "models", "prices"}:
            faults.append(Fault("CALLSHEET_CONFIG", f"has an unknown table {name!r}; known: accounts, models, prices"))
        try:
            Catalog.default().extended(parsed)
        except ConfigError as error:
            faults.extend(Fault(f"CALLSHEET_CONFIG {f.field}", f.message) for f in error.faults)
        return parsed
    return {}


def _accounts(env: Mapping[str, str], config: Mapping[str, Any], faults: list[Fault]) -> list[AccountSettings]:
    accounts = []
    for provider in PROVIDERS:
        key, base_url = (env.get(f"CALLSHEET_{provider.upper()}_{what}", "").strip() for what in ("API_KEY", "BASE_URL"))
        if key:
            accounts.append(AccountSettings(provider, "default", key, base_url.rstrip("/") or None))
    named = config.get("accounts", [])
    if not isinstance(named, list):
        faults.append(Fault("CALLSHEET_CONFIG accounts", "has to be written as [[accounts]], once for each account"))
        named = []
    for index, raw in enumerate(named):
        where = f"CALLSHEET_CONFIG accounts[{index}]"
        match raw:
            case {"provider": str(provider), **rest} if provider in PROVIDERS:
                accounts.append(_account(env, where, provider, {str(k): v for k, v in rest.items()}, faults))
            case _:
                faults.append(Fault(where, f"needs provider, one of {', '.join(PROVIDERS)}"))
    seen: set[tuple[str, str]] = set()
    for account in accounts:
        name = f"CALLSHEET_{account.provider.upper()}_BASE_URL"
        if account.base_url is None and account.provider in NEEDS_BASE_URL:
            faults.append(Fault(name, "is required: this gateway documents no address"))
        if account.base_url is not None and _address(account.base_url) is None:
            faults.append(Fault(name, "has to be an http(s) address"))
        if (account.provider, account.name) in seen:
            faults.append(Fault("CALLSHEET_CONFIG", f"two accounts of {account.provider} are called {account.name!r}"))
        seen.add((account.provider, account.name))
    return accounts


def _account(env: Mapping[str, str], where: str, provider: str, raw: Mapping[str, Any], faults: list[Fault]) -> AccountSettings:
    for name in raw.keys() - ACCOUNT_KEYS:
        faults.append(Fault(f"{where}.{name}", f"is unknown; known: {', '.join(sorted(ACCOUNT_KEYS))}"))
    key = str(raw.get("api_key") or env.get(str(raw.get("api_key_env")), ""))
    if not key:
        faults.append(Fault(where, "needs api_key_env, the name of a variable that is set (or api_key)"))
    callbacks = raw.get("callbacks")
    if callbacks not in (None, "every", "endings", "none"):
        faults.append(Fault(f"{where}.callbacks", "has to be every, endings or none"))
    given = raw.get("options", {})
    if not isinstance(given, dict):
        faults.append(Fault(f"{where}.options", "has to be a table"))
        given = {}
    options = {str(k): str(v) for k, v in given.items()}
    base_url = str(raw["base_url"]).rstrip("/") if raw.get("base_url") else None
    caps: dict[str, int | None] = {name: raw.get(name) for name in ("in_flight", "per_minute")}
    for name, cap in caps.items():
        if cap is not None and (type(cap) is not int or cap < 1):
            faults.append(Fault(f"{where}.{name}", "has to be a whole number from 1"))
    quiet_s = raw.get("quiet_s")
    if quiet_s is not None and (type(quiet_s) not in (int, float) or not QUIET_S[0] <= quiet_s <= QUIET_S[1]):
        faults.append(Fault(f"{where}.quiet_s", f"has to be a number of seconds from {QUIET_S[0]} to {QUIET_S[1]}"))
    confirms = raw.get("confirm_endings", False)
    if type(confirms) is not bool:
        faults.append(Fault(f"{where}.confirm_endings", "has to be true or false"))
    name = raw.get("name", "default")
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        faults.append(Fault(f"{where}.name", "has to be 1 to 64 of a-z, 0-9, - and _, and to begin with a letter or a digit"))
    return AccountSettings(
        provider, str(name), key, base_url, callbacks, options, **caps, quiet_s=quiet_s, confirm_endings=confirms is True
    )


def _route(text: str, accounts: Sequence[AccountSettings], faults: list[Fault]) -> list[str]:
    route = [name for name in (part.strip().lower() for part in text.split(",")) if name]
    on = {a.provider for a in accounts}
    for name in route:
        if name not in PROVIDERS:
            faults.append(Fault("CALLSHEET_ROUTE", f"names {name!r}; known: {', '.join(PROVIDERS)}"))
        elif name not in on:
            faults.append(Fault("CALLSHEET_ROUTE", f"names {name!r}, which is not on: set CALLSHEET_{name.upper()}_API_KEY"))
    return route


def _networks(text: str, faults: list[Fault]) -> list[IPv4Network | IPv6Network]:
    networks = []
    for part in (p.strip() for p in text.split(",")):
        if part:
            try:
                networks.append(ipaddress.ip_network(part, strict=False))
            except ValueError:
                faults.append(Fault("CALLSHEET_EGRESS_ALLOW", f"{part!r} is no network; write e.g. 10.0.0.0/8"))
    return networks
