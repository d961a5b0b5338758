"""Route: the accounts that may take an order, in order, and the text in which a task keeps them.

The text is `provider/account provider/account …`; names of accounts are made so that it can always be taken apart again.
"""

import re
from collections.abc import Iterable

Key = tuple[str, str]
"""Provider and account."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Of an account, whole: it goes into routes, metrics and what people type."""


def as_text(keys: Iterable[Key]) -> str:
    return " ".join(f"{provider}/{account}" for provider, account in keys)


def as_keys(route: str) -> list[Key]:
    return [(provider, account) for provider, _, account in (part.partition("/") for part in route.split())]


def without(route: str, key: Key) -> str:
    """The same without an account that will not take the order."""
    return as_text(each for each in as_keys(route) if each != key)
