"""Waiting for what tells nobody that it has happened."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Whoever cannot be sure that it ever comes puts it into `asyncio.timeout`."""
    while not condition():  # noqa: ASYNC110 (see above)
        await asyncio.sleep(0.002)
