"""The configured accounts, each with the gateway that speaks for it and the terms it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.errors import Fault
from service.domain.order import Order
from service.domain.patience import ASKED, CALLED_BACK, ENDING_CALLED_BACK, Pace, Terms
from service.providers.base import Account, Callbacks, Gateway
from service.providers.registry import callbacks

_PACES = {Callbacks.EVERY: CALLED_BACK, Callbacks.ENDINGS: ENDING_CALLED_BACK, Callbacks.NONE: ASKED}


@dataclass(frozen=True, slots=True)
class Desk:
    """One account and its gateway."""

    account: Account
    gateway: Gateway
    pace: Pace | None = None
    """None: by what the gateway calls back."""
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        facts = self.gateway.facts
        pace = self.pace or _PACES[self.callbacks]
        object.__setattr__(self, "terms", Terms(pace, facts.submit_timeout_s, facts.video_lives_s, facts.scans))

    @property
    def callbacks(self) -> Callbacks:
        return callbacks(self.account)


_UNKNOWN_TERMS = Terms(ASKED)
"""For a submission whose account is not configured any more: it cannot be asked, only waited for."""


class Accounts:
    def __init__(self, desks: Sequence[Desk]) -> None:
        """In the order in which they are tried."""
        self.desks: Mapping[tuple[str, str], Desk] = {(d.account.provider, d.account.name): d for d in desks}

    def get(self, provider: str, account: str) -> Desk | None:
        return self.desks.get((provider, account))

    def terms(self, provider: str, account: str) -> Terms:
        desk = self.get(provider, account)
        return _UNKNOWN_TERMS if desk is None else desk.terms

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
