"""The gateways, by the names that settings, routes and addresses use. A new one is one import and one line here."""

from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

from service.providers.acedata import ACEDATA
from service.providers.agentsflare import AGENTSFLARE
from service.providers.apiyi import APIYI
from service.providers.ark import ARK, BYTEPLUS, SANDBOX
from service.providers.base import Account, Batches, Callbacks, Cancels, Gateway, Scans
from service.providers.pixazo import PIXAZO
from service.providers.yescale import YESCALE

_ALL: tuple[Gateway, ...] = (ARK, BYTEPLUS, AGENTSFLARE, ACEDATA, YESCALE, PIXAZO, APIYI, SANDBOX)
GATEWAYS: Mapping[str, Gateway] = {each.name: each for each in _ALL}
"""In the order in which they are tried when nobody names one; the sandbox last."""


def batches(gateway: Gateway) -> Batches | None:
    return cast(Batches, gateway) if gateway.facts.batch > 1 else None


def cancels(gateway: Gateway) -> Cancels | None:
    return cast(Cancels, gateway) if gateway.facts.cancels else None


def scans(gateway: Gateway) -> Scans | None:
    return cast(Scans, gateway) if gateway.facts.scans else None


@runtime_checkable
class _ByAccount(Protocol):
    """A gateway whose accounts differ in what is called back."""

    def callbacks_of(self, account: Account) -> Callbacks: ...


def callbacks(account: Account) -> Callbacks:
    """What an account is told by itself: what its operator says, else what the gateway documents."""
    if account.callbacks is not None:
        return account.callbacks
    gateway = GATEWAYS[account.provider]
    return gateway.callbacks_of(account) if isinstance(gateway, _ByAccount) else gateway.facts.callbacks
