"""Where subscriptions lead, as the database keeps it: addresses, keys and headers sealed together."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from service.channels.base import Target
from service.domain.errors import Conflict, Fault
from service.domain.instant import rfc3339
from service.egress.guard import PLAIN_PORT, TLS_PORT, literal
from service.parts import Parts
from service.signing import new_keypair, new_secret, public_of
from service.wire import address

ROTATION_MS = 24 * 3_600_000
"""A key that was replaced signs along for this long, whatever is rotated after it."""
RETIRING_LIMIT = 5
"""Keys on their way out at once: each of them costs every notice a signature."""
ASYMMETRIC = "whsk_"
PORTS = {"http": PLAIN_PORT, "https": TLS_PORT}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A target with the keys that are on their way out, the newest first, and until when each still signs along."""

    target: Target
    retiring: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    def keys(self, now: int) -> tuple[str, ...]:
        """All that sign now, the newest first."""
        return (*self.target.secrets, *(key for key, until in self.retiring if now < until))


def literal_faults(parts: Parts, url: str) -> list[Fault]:
    """Of a target in which its channel found no fault, before it is saved. Names are looked up at every connection and not here;
    an address that is written out leads where it leads, and one that is never gone to is said so at once."""
    to = address(url)
    written = literal(to.host)
    if parts.guard is None or written is None:
        return []
    reason = parts.guard.refusal(to.scheme, to.port or PORTS[to.scheme], [written])
    return [] if reason is None else [Fault("target", f"{reason}; the operator can allow networks in CALLSHEET_EGRESS_ALLOW")]


def new_key(options: Any) -> str:
    """What a new webhook signs with: a secret that both sides have, or a private key of which the other has the public one."""
    return new_keypair()[0] if options.get("signature") == "v1a" else new_secret()


def rotated(sealed: Sealed, now: int) -> Sealed:
    """With a new key of the same kind; the old one signs along for a day, and those before it until their own day is over."""
    target = sealed.target
    retiring = [(key, until) for key, until in sealed.retiring if now < until]
    if len(retiring) >= RETIRING_LIMIT:
        until = rfc3339(retiring[-1][1])
        raise Conflict(f"{len(retiring)} earlier keys still sign along; rotate again when the oldest of them ends, at {until}")
    [old] = target.secrets
    return Sealed(replace(target, secrets=(new_key(target.options),)), ((old, now + ROTATION_MS), *retiring))


def shown_key(target: Target) -> dict[str, str]:
    """What the subscriber needs to verify: a secret, shown when it is made and never again; or a public key."""
    match target.secrets:
        case (str(key),) if key.startswith(ASYMMETRIC):
            return {"public_key": public_of(key)}
        case (str(key),):
            return {"secret": key}
        case _:
            return {}


def seal(parts: Parts, sealed: Sealed) -> bytes:
    target = sealed.target
    plain = {"url": target.url, "secrets": list(target.secrets), "headers": dict(target.headers), "retiring": sealed.retiring}
    return parts.seal.seal(orjson.dumps(plain))


def unseal(parts: Parts, row: Any) -> Sealed:
    raw = orjson.loads(parts.seal.open(bytes(row.sealed)))
    retiring = tuple((key, until) for key, until in raw["retiring"])
    return Sealed(Target(raw["url"], tuple(raw["secrets"]), raw["headers"], orjson.loads(row.options)), retiring)


def open_target(parts: Parts, row: Any, now: int) -> Target:
    """As an attempt needs it: with every key that signs now."""
    sealed = unseal(parts, row)
    return replace(sealed.target, secrets=sealed.keys(now))


def columns(parts: Parts, channel: str, sealed: Sealed) -> dict[str, Any]:
    """All that a row says about its target."""
    target = sealed.target
    return {
        "target": parts.channels[channel].display(target.url),
        "sealed": seal(parts, sealed),
        "options": orjson.dumps(dict(target.options)).decode(),
        "publics": _publics(sealed),
        "pace_id": pace_id(target.url) if parts.channels[channel].folds else None,
    }


def _publics(sealed: Sealed) -> str | None:
    known: Sequence[tuple[str, int | None]] = [(key, None) for key in sealed.target.secrets]
    known = [*known, *sealed.retiring]
    publics = [(public_of(key), until) for key, until in known if key.startswith(ASYMMETRIC)]
    return orjson.dumps(publics).decode() if publics else None


def pace_id(url: str) -> int:
    """The address itself is a secret; a digest of one with a hundred random bits in it is none. However the host is written and
    whatever is asked of it, a chat service counts it as one."""
    to = urlsplit(url)
    one = f"{to.scheme}://{to.netloc.lower()}{to.path}"
    return int.from_bytes(hashlib.blake2b(one.encode(), digest_size=8).digest(), "big") >> 1
