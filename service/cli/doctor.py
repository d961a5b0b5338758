"""What an operator should know before anything goes wrong: each part, what was found, what to do about it.

Read-only. While a service holds an SQLite file it is asked over HTTP instead, but for its seals. Absent on purpose: requests to providers;
a question may cost money, and says nothing about the next one.
"""

import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.accounts import Desk
from service.app import accounts, clock_ms
from service.cli.check import FINE, NOTE, WRONG, Check
from service.cli.client import Trouble, here, opened
from service.cli.storage import of_database, of_seals
from service.domain.errors import ConfigError
from service.providers.base import Callbacks
from service.settings import Settings, keys_path, load, reach
from service.signing import CallbackTokens
from service.web.reach import Answered, answered, question

DISK_WRONG, DISK_NOTE = 256 * 1024**2, 2 * 1024**3
"""Bytes: a day of a busy service, and a month."""
LOOKUP_S = 3.0
ANSWER_WITHIN_S = 5.0


def examine(env: Mapping[str, str], self_call: bool = False) -> list[Check]:
    try:
        settings = load(env, make_keys=False)
    except ConfigError as error:
        return [Check("settings", WRONG, f"{f.field}: {f.message}", "correct it and look again") for f in error.faults]
    desks = list(accounts(settings).desks.values())
    running, service = _service(reach(env).url)
    stored = list(of_database(settings, running))
    return [
        Check("settings", FINE, "production" if settings.production else "development"),
        service,
        *(_started_with(desks) if running else ()),
        *stored,
        *_keys(env, settings),
        *(of_seals(settings) if stored[0].verdict == FINE else ()),
        _public_url(settings, desks),
        *([_self_call(settings)] if self_call else []),
        *_providers(settings, desks),
        _disk(settings),
    ]


def serves(env: Mapping[str, str]) -> bool:
    """Whether a service is ready where the command line would look for it."""
    running, found = _service(reach(env).url)
    return running and found.verdict == FINE


def _service(url: str) -> tuple[bool, Check]:
    """Whether one runs where the command line would look for it, and whether it is ready."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=ANSWER_WITHIN_S, trust_env=not here(url))
        document = answer.json()
    except httpx.TransportError:
        return False, Check("service", NOTE, f"nobody answers at {url}", "start it with: callsheet serve")
    except (ValueError, httpx.InvalidURL):
        document = None
    match document:
        case {"ready": True}:
            return True, Check("service", FINE, f"runs at {url} and is ready")
        case {"ready": False, "wrong": dict(wrong)}:
            found = "; ".join(f"{part} {what}" for part, what in wrong.items())
            return True, Check("service", WRONG, f"runs at {url} and is not ready: {found}", "its log says more")
        case _:
            advice = "is CALLSHEET_PUBLIC_URL, or HOST and PORT, its address?"
            return False, Check("service", WRONG, f"something else than Callsheet answers at {url}", advice)


def _started_with(desks: list[Desk]) -> Iterator[Check]:
    """The running service may have been started with other settings than these."""
    try:
        with opened(None, None, None) as ask:
            theirs = {(each["provider"], each["account"]) for each in ask.get("/v1/providers")["data"]}
    except Trouble as trouble:
        yield Check("providers", NOTE, " ".join(trouble.lines()), "with a key it could be compared with these settings")
        return
    ours = {(desk.account.provider, desk.account.name) for desk in desks}
    if theirs != ours:
        names = ", ".join(sorted(f"{provider}/{account}" for provider, account in theirs))
        yield Check("providers", WRONG, f"the running service has {names}", "restart it: its settings are other than these")


def _keys(env: Mapping[str, str], settings: Settings) -> Iterator[Check]:
    kept = keys_path(settings.database_url)
    names = ("CALLSHEET_SIGNING_KEYS", "CALLSHEET_ENCRYPTION_KEYS", "CALLSHEET_ADMIN_KEY")
    unset = [name for name in names if not env.get(name)]
    if not unset:
        yield Check("keys", FINE, "all given by the environment")
        return
    if not kept.exists():
        yield Check("keys", NOTE, f"none yet for {', '.join(unset)}", f"the first `callsheet serve` keeps new ones in {kept}")
    elif kept.stat().st_mode & 0o077:
        yield Check("keys", WRONG, f"others may read {kept}", f"run: chmod 600 {kept}")
    else:
        yield Check("keys", FINE, f"kept in {kept}; whoever has the database needs them too")


def _public_url(settings: Settings, desks: list[Desk]) -> Check:
    url = settings.public_url
    called = [
        desk.account.provider
        for desk in desks
        if desk.callbacks is not Callbacks.NONE and not _private(urlsplit(desk.account.base_url).hostname or "")
    ]
    if not called:
        return Check("public url", FINE, f"{url}; no provider from outside has to reach it")
    if _private(urlsplit(url).hostname or ""):
        advice = "set CALLSHEET_PUBLIC_URL to an address they reach; without callbacks every task has to be asked about"
        return Check("public url", WRONG, f"{url} cannot be reached by {', '.join(called)}", advice)
    if not url.startswith("https"):
        return Check("public url", WRONG, f"{url} is plain HTTP", "callbacks carry their token in the path: put TLS before it")
    return Check("public url", FINE, url)


def _self_call(settings: Settings) -> Check:
    """The public URL and this machine's own address are asked the same signed question: one database has to answer both."""
    tokens = CallbackTokens(settings.signing_keys, clock_ms)
    advice = "a proxy or a tunnel has to pass /callbacks/ on to this service; look at CALLSHEET_PUBLIC_URL"
    by: list[Answered] = []
    for url in (settings.own_url, settings.public_url):
        path, number = question(tokens)
        try:
            answer = httpx.get(f"{url}{path}", timeout=ANSWER_WITHIN_S, trust_env=not here(url))
        except httpx.HTTPError as error:
            return Check("self-call", WRONG, f"{url} did not answer: {type(error).__name__}", advice)
        said = answered(tokens, number, answer.content)
        if said is None:
            return Check(
                "self-call", WRONG, f"{url} is answered by somebody without our signing keys ({answer.status_code})", advice
            )
        by.append(said)
    own, public = by
    if own == public:
        return Check("self-call", FINE, f"{settings.public_url} reaches this very process")
    if own.database == public.database and settings.sqlite_path is None:
        return Check("self-call", FINE, f"{settings.public_url} reaches another process of this database")
    which = "a copy of this" if own.database == public.database else "another"
    found = f"{settings.public_url} reaches a service with our keys on {which} database: callbacks would be lost there"
    return Check("self-call", WRONG, found, advice)


def _private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _providers(settings: Settings, desks: list[Desk]) -> Iterator[Check]:
    for desk in desks:
        facts, account = desk.gateway.facts, desk.account
        found = f"{account.name} at {account.base_url}; calls back: {desk.callbacks}"
        host = urlsplit(account.base_url).hostname or ""
        if resolves(host):
            yield Check(account.provider, FINE, found)
        else:
            yield Check(account.provider, WRONG, f"{found}; {host} has no address", "is its base URL right, and is there DNS?")
        for fact in facts.unverified if account.provider != "sandbox" else ():
            yield Check(account.provider, NOTE, f"not documented: {fact}")
    if settings.sandboxed:
        advice = "set CALLSHEET_<NAME>_API_KEY to order real videos"
        yield Check("providers", NOTE, "no provider is configured: the sandbox plays one", advice)


def resolves(host: str) -> bool:
    """Within a bound: a resolver that is away can take half a minute to say so, and cannot be interrupted."""
    found: list[Any] = []

    def look() -> None:
        try:
            found.extend(socket.getaddrinfo(host, None))
        except (OSError, UnicodeError):
            return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(LOOKUP_S)
    return bool(found)


def _disk(settings: Settings) -> Check:
    path = Path(settings.sqlite_path or ".").absolute().parent
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    verdict = WRONG if free < DISK_WRONG else NOTE if free < DISK_NOTE else FINE
    found = f"{free / 1024**3:.1f} GiB free where {'the database' if settings.sqlite_path else 'this process'} lives"
    return Check("disk", verdict, found, "" if verdict == FINE else "make room: a full disk answers 503 to everybody")
