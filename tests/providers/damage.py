"""Bodies with one thing wrong."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any


def replaced(value: Any, others: Sequence[Any]) -> Iterator[Any]:
    """The value with each of the others in place of one part of it, at any depth; and with that part gone."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            for part in (*others, *replaced(value[key], others)):
                changed = copy.copy(value)
                changed[key] = part
                yield changed
            gone = copy.copy(value)
            del gone[key]
            yield gone
