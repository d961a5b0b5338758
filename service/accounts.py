"""The configured accounts, each with the gateway that speaks for it and the terms it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain.admission import Caps
from service.domain.breaker import Breaker
from service.domain.errors import Fault
from service.domain.learning import Learned, fitted
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.patience import ASKED, CALLED_BACK, ENDING_CALLED_BACK, Pace, Terms
from service.domain.route import Key
from service.domain.timekeeping import Agreed
from service.providers.base import Account, Callbacks, Gateway
from service.providers.registry import callbacks

_PACES = {Callbacks.EVERY: CALLED_BACK, Callbacks.ENDINGS: ENDING_CALLED_BACK, Callbacks.NONE: ASKED}
MARK_ORDERS = ("mark_orders", "safety_identifier")
"""Option and value with which an operator allows orders to carry the name of their submission where they left the field free,
so that the provider's list tells which is which."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One account and its gateway."""

    account: Account
    gateway: Gateway
    pace: Pace | None = None
    """None: by what the gateway calls back, and by what was learned."""
    caps: Caps | None = None
    """None: as the gateway's facts say."""
    confirms: bool = False
    """Endings that callbacks claim are not believed until the gateway was asked."""
    callbacks: Callbacks = field(init=False)
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        facts = self.gateway.facts
        object.__setattr__(self, "callbacks", callbacks(self.account))
        pace = self.pace or _PACES[self.callbacks]
        terms = Terms(pace, facts.submit_timeout_s, facts.video_lives_s, facts.scans, self.confirms)
        object.__setattr__(self, "terms", terms)
        if self.caps is None:
            object.__setattr__(self, "caps", Caps(facts.in_flight, facts.per_minute))

    @property
    def key(self) -> Key:
        return self.account.provider, self.account.name

    @property
    def marks(self) -> bool:
        return self.gateway.facts.scans and self.account.options.get(MARK_ORDERS[0]) == MARK_ORDERS[1]


_UNKNOWN_TERMS = Terms(ASKED)
"""For a submission whose account is not configured any more: it cannot be asked, only waited for."""


class Accounts:
    def __init__(self, desks: Sequence[Desk]) -> None:
        """In the order in which they are tried."""
        self.desks: Mapping[Key, Desk] = {d.key: d for d in desks}
        self.caps: Mapping[Key, Caps] = {key: d.caps or Caps() for key, d in self.desks.items()}
        self.breakers: Mapping[Key, Breaker] = {}
        """As last seen in the database; the truth is there."""
        self.agreed: dict[Key, Agreed] = {}
        """When each one's clock and ours last said the same; missing: they did not, or it has not been heard yet."""
        self._learned: Mapping[tuple[str, str, str], Learned] = {}
        self._fitted: dict[tuple[str, str, str], Terms] = {}

    def get(self, provider: str, account: str) -> Desk | None:
        return self.desks.get((provider, account))

    def learn(self, learned: Mapping[tuple[str, str, str], Learned]) -> None:
        """By provider, model and state."""
        self._learned, self._fitted = learned, {}

    def known(self, provider: str, model: str, state: State) -> Learned | None:
        return self._learned.get((provider, model, str(state)))

    def terms(self, provider: str, account: str, model: str = "") -> Terms:
        desk = self.get(provider, account)
        if desk is None:
            return _UNKNOWN_TERMS
        if desk.pace is not None or not self._learned:
            return desk.terms
        found = self._fitted.get((provider, account, model))
        if found is None:
            queued, running = (self.known(provider, model, state) for state in (State.QUEUED, State.RUNNING))
            found = replace(desk.terms, pace=fitted(desk.terms.pace, queued, running))
            self._fitted[provider, account, model] = found
        return found

    def gateway(self, provider: str) -> Gateway | None:
        """Whoever of this name can read a callback."""
        return next((d.gateway for d in self.desks.values() if d.account.provider == provider), None)

    def able(self, order: Order) -> tuple[list[Desk], list[Fault]]:
        """The accounts that can carry out this order, in order; when there are none, why not."""
        candidates = [d for d in self.desks.values() if order.provider in (None, d.account.provider)]
        if not candidates:
            names = ", ".join(sorted({provider for provider, _ in self.desks})) or "none"
            return [], [Fault("provider", f"no such provider is configured here; configured: {names}")]
        faults: list[Fault] = []
        able = []
        for desk in candidates:
            refused = desk.gateway.refuse(order, desk.account)
            if refused:
                faults.extend(refused)
            else:
                able.append(desk)
        return able, [] if able else list(dict.fromkeys(faults))
