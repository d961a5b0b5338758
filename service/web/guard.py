"""Who calls: API keys to callers. Keys are stored as SHA-256 digests and compared in constant time."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from service.domain.errors import NotFound
from service.parts import Parts
from service.store import apps
from service.store.apps import DEFAULT_APP

SCOPES = ("submit", "read", "manage", "admin")
KNOWN_MS = 10_000
"""A key that was found is not looked up again for this long: a revoked one works no longer than that elsewhere."""
KNOWN_LIMIT = 10_000
KEY_LIMIT = 200
"""Characters: ours have 44, and an operator may choose a longer one."""
PREFIX = "csk_"


@dataclass(frozen=True, slots=True)
class Caller:
    app_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class Guard:
    def __init__(self, parts: Parts, admin_key: str) -> None:
        self._parts = parts
        self._admin = digest(admin_key)
        self._known: OrderedDict[str, tuple[int, bytes, Caller]] = OrderedDict()

    async def caller(self, authorization: str | None, app: str | None) -> Caller | None:
        """None: no such key. Raises NotFound for an app that does not exist (admin only)."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not 0 < len(key) <= KEY_LIMIT or not (key.isascii() and key.isprintable()):
            return None
        given = digest(key)
        if hmac.compare_digest(given, self._admin):
            app_id = app or DEFAULT_APP
            if app_id != DEFAULT_APP and await self._parts.db.read(lambda sql: apps.app(sql, app_id)) is None:
                raise NotFound(f"there is no app {app_id[:40]!r}")
            return Caller(app_id, frozenset(SCOPES))
        prefix = key[: len(PREFIX) + 8]
        now = self._parts.clock()
        known = self._known.get(prefix)
        if known is None or known[0] < now:
            row = await self._parts.db.read(lambda sql: apps.key_by_prefix(sql, prefix)) if key.startswith(PREFIX) else None
            if row is None:
                return None
            known = (now + KNOWN_MS, bytes(row.digest), Caller(row.app_id, frozenset(row.scopes.split(","))))
            self._known[prefix] = known
            if len(self._known) > KNOWN_LIMIT:
                self._known.popitem(last=False)
        return known[2] if hmac.compare_digest(given, known[1]) else None

    def forget(self) -> None:
        """A key was revoked here: look all of them up again."""
        self._known.clear()


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def new_key() -> tuple[str, str]:
    """(the key, shown once; its prefix, by which it is found)."""
    prefix = PREFIX + secrets.token_hex(4)
    return f"{prefix}{secrets.token_urlsafe(24)}", prefix
