"""A provider, or somebody with its token, that repeats itself without end."""

import asyncio

import orjson
import pytest

from service.domain.lifecycle import State
from service.flow.record import RECEIPTS_KEPT
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_flood_of_repetitions_is_answered_and_not_kept_and_what_changes_the_task_still_is(world: World) -> None:
    task = await world.submit()
    job = world.job(task)
    bodies = [orjson.dumps(job.as_ark(word)) for word in ("queued", "running", "levitating")] + [b"{", b"", b"[" * 1_000]
    for _ in range(4):  # so many at once as a process may hold
        answers = await asyncio.gather(
            *(world.post_callback(job.callback_url, body) for body in bodies * (RECEIPTS_KEPT // 12))
        )
        assert set(answers) == {200}
    assert await world.callback("succeeded") == 200
    assert (await world.task(task.id)).state is State.SUCCEEDED
    [kept] = await world.rows("SELECT count(*) AS n FROM receipt")
    assert kept.n == RECEIPTS_KEPT + 2, "the two that moved it are kept besides"
    [last] = await world.rows("SELECT verdict, word FROM receipt ORDER BY id DESC LIMIT 1")
    assert (last.verdict, last.word) == ("advance", "succeeded")
    [told] = await world.rows("SELECT count(*) AS n FROM event WHERE type = 'provider.unknown_status'")
    assert told.n == 1
