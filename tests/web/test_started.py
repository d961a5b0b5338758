"""What is here already costs no timer; what is not can still be waited for, given up, and fail."""

import asyncio

import pytest

from service.web.started import started


async def test_what_is_here_needs_no_waiting() -> None:
    async def here() -> str:
        return "now"

    assert started(here()).here == "now"


async def test_what_comes_later_is_awaited() -> None:
    gate = asyncio.Event()

    async def later() -> str:
        await gate.wait()
        await asyncio.sleep(0)
        return "then"

    begun = started(later())
    assert begun.here is None
    asyncio.get_running_loop().call_soon(gate.set)
    assert await begun == "then"


async def test_whoever_gives_up_ends_what_was_begun() -> None:
    ended = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    begun = started(never())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await begun
    assert ended == [True]


async def test_a_failure_is_the_waiting_ones() -> None:
    async def at_once() -> None:
        raise ConnectionResetError

    async def later() -> None:
        await asyncio.sleep(0)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        started(at_once())
    with pytest.raises(ConnectionResetError):
        await started(later())
