"""What a hostile sender puts in front of the callback door: tokens of every wrong kind, bodies of every bad shape.

Made fast and from a seed: recorded bodies of every provider, each with one field of another type, mutated further byte by byte.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import orjson
from itsdangerous import TimestampSigner

from service.providers.registry import GATEWAYS
from service.signing import SKEW_S, TOKEN_LIFETIME_S, CallbackTokens
from service.wire import BODY_LIMIT
from tests.providers.conformance import FIXTURES
from tests.providers.damage import replaced
from tests.world import SIGNING

Manner = Literal["whole", "pieces", "slow", "gone"]

OTHER_TYPES: tuple[bytes, ...] = (
    *(b"null", b"true", b"0", b"-1", b"1.5", b"1e999", b"NaN", b"-Infinity", b"9223372036854775808", b"1" + b"0" * 400),
    *(b'""', b'"\\u0000"', b'"\\ud800"', b'"\\udc00x"', b'"' + b"x" * 9_000 + b'"', b"[]", b"[{}]", b"{}", b'{"id":"x"}'),
    *(b"[" * 500 + b"]" * 500, b'"\xff\xfe"', b'"succeeded"', b'"javascript:alert(1)"', b'"\\u202e"', b'{"a":1,"a":2}'),
)
STRANGE: tuple[bytes, ...] = (
    *(b"", b"{", b"\x00", b"null", b"1" * 5_000, b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"\x1f\x8bnothing"),
    *(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"\xef\xbb\xbf{}", '{"id":"cgt-1"}'.encode("utf-16"), b'"' + b"\\" * 9_999),
    *(b'{"id":"cgt-1","id":"cgt-2","status":"running","status":"succeeded"}', b'[{"id":"cgt-1","status":"running"}]'),
)
BYTES = b'{}[]",:0-9eE.\\u\x00\xff\xed\xa0\x80 tfn'
MARK = "@@another type@@"
OWN_NAME = re.compile(rb'"id": ?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Case:
    path: str
    body: bytes
    manner: Manner
    right: int | None
    """The one good answer; None: the sender hangs up and gets none."""


def recorded() -> dict[str, list[bytes]]:
    """Every recorded body, by the provider that sent it."""
    found = {name: [path.read_bytes() for path in sorted((FIXTURES / name).glob("*.json"))] for name in GATEWAYS}
    for name in GATEWAYS:  # who speaks Ark's wire and has no recordings of his own
        found[name] = found[name] or found["ark"]
    return found


def damaged(body: bytes) -> list[bytes]:
    """Every field of a body with every other type, and without it."""
    mark = orjson.dumps(MARK)
    return [
        raw.replace(mark, other)
        for raw in map(orjson.dumps, replaced(orjson.loads(body), (MARK,)))
        for other in (OTHER_TYPES if mark in raw else (b"",))
    ]


class Sender:
    """Draws one case after the other. `submissions`: whose doors stand open now."""

    def __init__(self, seed: int, now_ms: int) -> None:
        self._dice = random.Random(seed)
        self._now_ms = now_ms
        self._bodies = {name: [d for body in bodies for d in (body, *damaged(body))] for name, bodies in recorded().items()}
        self._big = (b" " * BODY_LIMIT, b"[" * BODY_LIMIT), (b" " * (BODY_LIMIT + 1), b" " * (2 * BODY_LIMIT))
        self._right: list[tuple[str, str]] = []
        self.wrong: list[str] = []

    def aim(self, submissions: Sequence[tuple[int, bytes]]) -> None:
        """At these, by id, each with its own provider's name for it."""
        signer = CallbackTokens(SIGNING, lambda: self._now_ms)
        expired = CallbackTokens(SIGNING, lambda: self._now_ms - (TOKEN_LIFETIME_S + 61) * 1_000)
        early = CallbackTokens(SIGNING, lambda: self._now_ms + (SKEW_S + 60) * 1_000)
        rotated_out = CallbackTokens(["a-key-that-was-taken-away-long-ago"], lambda: self._now_ms)
        salted = TimestampSigner(SIGNING[0], salt=b"another", key_derivation="hmac", digest_method=sha256)
        names = sorted(GATEWAYS)
        self._right = [(name, f"/callbacks/{name}/{signer.mint(name, sub)}") for sub, _ in submissions for name in names]
        self.wrong = []
        self._names = dict(submissions)
        for index, (name, path) in enumerate(self._right):
            sub = submissions[index // len(names)][0]
            token = path.rpartition("/")[2]
            at = self._dice.randrange(len(token))
            other = "1" if token[at] == "0" else "0"
            self.wrong += [
                f"/callbacks/{name}/{token[:at]}{other}{token[at + 1 :]}",
                f"/callbacks/{names[(names.index(name) + 1) % len(names)]}/{token}",
                *(f"/callbacks/{name}/{tokens.mint(name, sub)}" for tokens in (expired, early, rotated_out)),
                f"/callbacks/{name}/{salted.sign(f'{name}.{sub:x}').decode()[len(name) + 1 :]}",
                f"/callbacks/{name}/{signer.mint(name, 2**62 + index)}",
                f"/callbacks/{name}/{token}/",
                f"/callbacks/nobody/{token}",
                f"/callbacks/{name}/{token[:at]}",
                f"/callbacks/{name}/" + "\x00\ud800é"[index % 3] * (index % 7),
            ]

    def __iter__(self) -> Iterator[Case]:
        dice = self._dice
        while True:
            draw = dice.random()
            if draw < 0.08:
                yield Case(dice.choice(self.wrong), dice.choice(STRANGE[:4]), "whole", 404)
                continue
            name, path = dice.choice(self._right)
            if draw < 0.0805:
                yield Case(path, b'{"id":', "slow", 408)
            elif draw < 0.082:
                yield Case(path, b'{"id":', "gone", None)
            elif draw < 0.0825:
                fits, exceeds = self._big
                big = dice.random() < 0.5
                manner: Manner = "whole" if dice.random() < 0.5 else "pieces"
                yield Case(path, dice.choice(exceeds if big else fits), manner, 413 if big else 200)
            elif draw < 0.1:
                yield Case(path, dice.choice(STRANGE), "whole", 200)
            else:
                yield Case(path, self._body(name, path), "pieces" if draw > 0.99 else "whole", 200)

    def _body(self, name: str, path: str) -> bytes:
        dice = self._dice
        body = dice.choice(self._bodies[name])
        if dice.random() < 0.5:  # as if it were about this very task, so that it gets past the first comparison
            body = OWN_NAME.sub(b'"id":"' + self._own(path) + b'"', body, count=1)
        for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
            at = dice.randrange(len(body) + 1)
            match dice.randrange(5):
                case 0:
                    body = body[:at] + body[at + dice.randrange(1, 9) :]
                case 1:
                    body = body[:at] + bytes(dice.choices(BYTES, k=dice.randrange(1, 4))) + body[at:]
                case 2:
                    body = body[:at]
                case 3:
                    body = body[:at] + body[at // 2 : at] + body[at:]
                case _:
                    body = body[:at] + dice.randbytes(dice.randrange(1, 6)) + body[at + 1 :]
        return body[:BODY_LIMIT]

    def _own(self, path: str) -> bytes:
        return self._names[int(path.rpartition("/")[2].partition(".")[0], 16)]
