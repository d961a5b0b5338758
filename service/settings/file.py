"""The TOML file that `CALLSHEET_CONFIG` names, and the accounts: those in it, and those that a variable turns on."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.domain.catalog import Catalog
from service.domain.errors import ConfigError, Fault
from service.domain.route import NAME
from service.settings.checks import address
from service.settings.model import AccountSettings
from service.settings.variables import PROVIDERS

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


def read_config(path: str, faults: list[Fault]) -> Mapping[str, Any]:
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


def read_accounts(env: Mapping[str, str], config: Mapping[str, Any], faults: list[Fault]) -> list[AccountSettings]:
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
        if account.base_url is not None and address(account.base_url) is None:
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
