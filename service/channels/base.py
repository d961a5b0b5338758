"""What every channel file offers, and what it is given: notices and the target they go to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import orjson

from service import __version__
from service.domain.delivery import Failed, Outcome, Throttled
from service.domain.errors import Fault
from service.domain.lifecycle import SETTLED, State
from service.wire import Post, Reply, retry_after_s

USER_AGENT = f"callsheet/{__version__}"

FOLD_LIMIT = 20
"""Notices that one digest may carry: what fits into the smallest message of all chat channels (Discord, 6,000 characters)."""

SETTLED_EVENTS = tuple(f"task.{state}" for state in State if state in SETTLED)
"""What people want to hear of: how a task ended, and that one was lost sight of. A webhook gets every step."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one subscription is told. Whoever knows the address may write there, and custom headers hold tokens."""

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Every live one: two during a rotation."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


class Notice(NamedTuple):
    id: str
    """`msg_…`: the same over all attempts."""
    type: str
    at: int
    body: bytes
    """As it was stored when the event happened."""

    def __repr__(self) -> str:
        return f"Notice({self.id}, {self.type})"  # a body holds a caller's prompt


class Channel(Protocol):
    """Requests out, outcomes in. Neither may raise on anything a subscriber answers or a task contains."""

    @property
    def name(self) -> str: ...

    @property
    def default_events(self) -> tuple[str, ...]: ...

    @property
    def signs(self) -> bool:
        """Its notices are signed with a secret of the subscription's own."""
        ...

    @property
    def folds(self) -> bool:
        """What waits for one target may be told in one message, up to `FOLD_LIMIT` notices."""
        ...

    def check(self, url: str, options: Mapping[str, str]) -> Sequence[Fault]:
        """What is wrong with a target, before it is saved. Where its name leads is checked at every connection instead."""
        ...

    def compose(self, notices: Sequence[Notice], target: Target, now: int) -> Post:
        """The same notices make the same bytes at every attempt; only the time of the signature moves."""
        ...

    def read(self, reply: Reply, now: int) -> Outcome: ...

    def display(self, url: str) -> str:
        """The address for people, without what makes it a secret."""
        ...


def post(url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Post:
    return Post(url, (("user-agent", USER_AGENT), *headers), body)


def post_json(url: str, body: Mapping[str, object]) -> Post:
    return post(url, [("content-type", "application/json")], orjson.dumps(body))


def declined(reply: Reply, now: int, why: str = "") -> Failed | Throttled:
    """An answer that is neither success nor final: a pause when it asks for one, a failure otherwise."""
    match reply.status:
        case 429 | 502 | 504:
            return Throttled(f"answered {reply.status}", retry_after_s(reply.headers, now))
        case 503 if (pause_s := retry_after_s(reply.headers, now)) is not None:
            return Throttled("answered 503", pause_s)
        case status if 300 <= status < 400:
            return Failed(f"answered {status}: a redirect is not followed, correct the address", str(status))
        case status:
            return Failed(f"answered {status}: {why}" if why else f"answered {status}", str(status))
