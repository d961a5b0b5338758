"""The gateways by name, and typed access to what only some can do."""

from collections.abc import Callable

import pytest

from service.providers.base import Account, Callbacks, Gateway
from service.providers.registry import GATEWAYS, batches, callbacks, cancels, scans

ORDER = ["ark", "byteplus", "agentsflare", "acedata", "yescale", "pixazo", "apiyi", "sandbox"]


def account(provider: str, said: Callbacks | None = None, **options: str) -> Account:
    return Account(provider, "main", "https://x.example", "k", said, options)


def test_gateways_come_in_the_order_in_which_they_are_tried() -> None:
    assert list(GATEWAYS) == ORDER
    assert all(name == gateway.name for name, gateway in GATEWAYS.items())


@pytest.mark.parametrize(
    ("access", "names", "methods"),
    [
        (batches, {"ark", "byteplus", "sandbox", "acedata"}, ("query_many", "read_many")),
        (cancels, {"ark", "byteplus", "sandbox"}, ("cancel", "read_cancel")),
        (scans, {"ark", "byteplus", "sandbox"}, ("scan", "read_scan")),
    ],
)
def test_only_what_a_gateway_documents_is_offered(
    access: Callable[[Gateway], object], names: set[str], methods: tuple[str, ...]
) -> None:
    offered = {name: found for name, gateway in GATEWAYS.items() if (found := access(gateway)) is not None}
    assert set(offered) == names
    assert all(callable(getattr(found, method)) for found in offered.values() for method in methods)


def test_addresses_have_no_slash_at_the_end_and_two_are_the_operators_to_name() -> None:
    assert not any((gateway.base_url or "").endswith("/") for gateway in GATEWAYS.values())
    assert {name for name, gateway in GATEWAYS.items() if gateway.base_url is None} == {"yescale", "sandbox"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (account("ark"), Callbacks.EVERY),
        (account("acedata"), Callbacks.ENDINGS),
        (account("apiyi"), Callbacks.NONE),
        (account("apiyi", Callbacks.EVERY), Callbacks.EVERY),
        (account("pixazo"), Callbacks.EVERY),
        (account("pixazo", api="v2"), Callbacks.NONE),
        (account("pixazo", Callbacks.ENDINGS, api="v2"), Callbacks.ENDINGS),
    ],
)
def test_an_account_is_told_what_its_operator_says_or_what_is_documented(given: Account, expected: Callbacks) -> None:
    assert callbacks(given) is expected
