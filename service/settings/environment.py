"""Environment → frozen `Settings`. The only reader of the environment; every wrong variable is named at once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.fernet import Fernet

from service.domain.errors import ConfigError, Fault
from service.settings import checks
from service.settings.file import read_accounts, read_config
from service.settings.keys import kept_keys, read_keys
from service.settings.model import Settings, keys_path, local_url


def load(env: Mapping[str, str] | None = None, *, make_keys: bool = True) -> Settings:
    """Raises ConfigError with every fault. `make_keys`: a first run in development may keep the keys it makes; otherwise
    they are forgotten, so that looking leaves nothing behind."""
    env = os.environ if env is None else env
    faults: list[Fault] = []
    production = checks.choice(env, "CALLSHEET_ENV", ("development", "production"), faults) == "production"
    port = checks.port(env.get("PORT") or "8000", faults)
    database_url = checks.database(env.get("CALLSHEET_DATABASE_URL") or checks.DEFAULT_DATABASE, faults)
    public_url = checks.public(env.get("CALLSHEET_PUBLIC_URL") or f"http://127.0.0.1:{port}", production, faults)
    kept = {} if production else kept_keys(keys_path(database_url), make_keys and not faults)
    signing = checks.listed(env, "CALLSHEET_SIGNING_KEYS", kept.get("signing_keys"), faults)
    encryption = checks.listed(env, "CALLSHEET_ENCRYPTION_KEYS", kept.get("encryption_keys"), faults)
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
    config = read_config(env.get("CALLSHEET_CONFIG", ""), faults)
    accounts = read_accounts(env, config, faults)
    settings = Settings(
        database_url=database_url,
        public_url=public_url,
        host=env.get("HOST") or "127.0.0.1",
        port=port,
        signing_keys=signing,
        encryption_keys=encryption,
        admin_key=admin,
        production=production,
        route=checks.routed(env.get("CALLSHEET_ROUTE", ""), accounts, faults),
        egress_allow=checks.networks(env.get("CALLSHEET_EGRESS_ALLOW", ""), faults),
        accounts=accounts,
        config=config,
        keep=checks.kept_days(env, faults),
        pooled=checks.choice(env, "CALLSHEET_DATABASE_POOLER", ("none", "transaction"), faults) == "transaction",
    )
    if production and not accounts:
        faults.append(
            Fault("CALLSHEET_<NAME>_API_KEY", "production needs at least one provider; the sandbox is for development")
        )
    if faults:
        raise ConfigError(faults)
    return settings


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
    kept = None if key else read_keys(keys_path(env.get("CALLSHEET_DATABASE_URL") or checks.DEFAULT_DATABASE))
    return Reach((env.get("CALLSHEET_PUBLIC_URL") or local).rstrip("/"), key or (kept or {}).get("admin_key"), kept is not None)
